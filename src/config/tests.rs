use super::*;

/// AIO-07, AIO-08.
#[test]
fn aio_08_write_limits_are_derived_as_asyncio_does() {
    assert_eq!(write_limits(None, None), Ok((65_536, 16_384)));
    assert_eq!(write_limits(Some(0), None), Ok((0, 0)));
    assert_eq!(write_limits(None, Some(100)), Ok((400, 100)));
    assert_eq!(write_limits(Some(100), None), Ok((100, 25)));
    assert_eq!(write_limits(Some(7), Some(7)), Ok((7, 7)));
    assert_eq!(
        write_limits(Some(10), Some(20)),
        Err(LimitsError { high: 10, low: 20 })
    );
}

#[test]
fn the_defaults_are_valid_and_a_bad_setting_is_named() {
    ConnectionConfig::default().validate().unwrap();
    let config = ConnectionConfig {
        recv_buffer: 255,
        ..Default::default()
    };
    let error = config.validate().unwrap_err().to_string();
    assert_eq!(error, "recv_buffer is 255, the least is 256");
    let config = ConnectionConfig {
        linger_timeout: Duration::ZERO,
        ..Default::default()
    };
    assert!(
        config
            .validate()
            .unwrap_err()
            .to_string()
            .contains("linger_timeout")
    );
}

#[test]
fn a_least_rate_or_an_age_of_nothing_is_refused_by_name() {
    type Set = fn(&mut ConnectionConfig);
    const NO_BYTES: RateRule = RateRule::new(0, Duration::from_secs(1));
    const NO_WINDOW: RateRule = RateRule::new(1, Duration::ZERO);
    let table: [(Set, &str); 6] = [
        (
            |config| config.read_rate = Some(NO_BYTES),
            "read_rate.bytes",
        ),
        (
            |config| config.write_rate = Some(NO_BYTES),
            "write_rate.bytes",
        ),
        (
            |config| config.read_rate = Some(NO_WINDOW),
            "read_rate.window",
        ),
        (
            |config| config.write_rate = Some(NO_WINDOW),
            "write_rate.window",
        ),
        (
            |config| config.frame_timeout = Some(Duration::ZERO),
            "frame_timeout",
        ),
        (
            |config| config.max_lifetime = Some(Duration::ZERO),
            "max_lifetime",
        ),
    ];
    for (set, name) in table {
        let mut config = ConnectionConfig::default();
        set(&mut config);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with(name), "{error}");
    }
}

/// As the documents say.
#[test]
fn slow_peers_are_limited_by_default_and_old_age_is_not() {
    let config = ConnectionConfig::default();
    let rule = RateRule::new(240, Duration::from_secs(60));
    assert_eq!(config.read_rate, Some(rule));
    let slower = RateRule::new(240, Duration::from_secs(10 * 60));
    assert_eq!(config.write_rate, Some(slower));
    assert_eq!(config.frame_timeout, Some(Duration::from_secs(10 * 60)));
    assert_eq!(config.max_lifetime, None);
}

#[test]
fn a_window_must_bring_its_seconds_times_the_rate_and_never_nothing() {
    assert_eq!(RateRule::DEFAULT.least(), 14_400);
    assert_eq!(RateRule::new(3, Duration::from_millis(500)).least(), 2);
    assert_eq!(RateRule::new(1, Duration::from_nanos(1)).least(), 1);
    assert_eq!(RateRule::new(u64::MAX, Duration::MAX).least(), u64::MAX);
}
