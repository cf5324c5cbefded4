use std::time::{Duration, Instant};

use crate::connection::{ConnectionState, Interests, Standing};
use crate::now::Now;
use crate::reason::{Cause, ClosePhase, ClosedDetail, ClosedReason, TimeoutKind};

use super::{Action, ProcessEvent, ProcessMachine};

const GRACE: Duration = Duration::from_secs(5);

fn running() -> ProcessMachine {
    let mut machine = ProcessMachine::new([true, true, false], GRACE);
    machine.adopt(Interests::ALL);
    machine
}

fn at(start: Instant, after: Duration) -> Now {
    Now::at(start + after)
}

fn pipe_detail(unsent: usize) -> ClosedDetail {
    let mut detail = running().detail();
    detail.unsent = unsent;
    detail.bytes_out = 7;
    detail
}

fn actions(machine: &mut ProcessMachine) -> Vec<Action> {
    std::iter::from_fn(|| machine.poll_action()).collect()
}

/// AIO-23.
#[test]
fn aio_23_the_end_comes_after_the_exit_and_all_pipes() {
    let mut machine = running();
    machine.handle_exit(0);
    assert!(matches!(
        machine.poll_event(),
        Some(ProcessEvent::Exited { code: 0 })
    ));
    assert!(machine.poll_event().is_none());
    assert_eq!(machine.state(), ConnectionState::HalfClosed);
    machine.handle_pipe_told(0, &pipe_detail(3));
    assert!(!machine.has_event());
    machine.handle_pipe_told(1, &pipe_detail(0));
    let Some(ProcessEvent::Closed(detail)) = machine.poll_event() else {
        panic!("it is over");
    };
    assert_eq!(detail.cause.reason(), ClosedReason::ClosedByPeer);
    assert_eq!((detail.unsent, detail.bytes_out), (3, 14));
    assert!(machine.is_told());
    assert!(machine.poll_event().is_none());
}

#[test]
fn pipes_may_close_before_the_exit() {
    let mut machine = running();
    machine.handle_pipe_told(0, &pipe_detail(0));
    machine.handle_pipe_told(1, &pipe_detail(0));
    // Twice, or of a pipe that is none, it means nothing.
    machine.handle_pipe_told(1, &pipe_detail(9));
    machine.handle_pipe_told(2, &pipe_detail(9));
    machine.handle_pipe_told(9, &pipe_detail(9));
    assert!(!machine.has_event());
    machine.handle_exit(-9);
    assert!(matches!(
        machine.poll_event(),
        Some(ProcessEvent::Exited { code: -9 })
    ));
    let Some(ProcessEvent::Closed(detail)) = machine.poll_event() else {
        panic!("it is over");
    };
    assert_eq!(detail.unsent, 0);
}

/// AIO-20.
#[test]
fn aio_20_a_close_asks_and_then_ends_it() {
    let start = Instant::now();
    let mut machine = running();
    assert!(machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO)));
    assert_eq!(
        actions(&mut machine),
        [Action::ClosePipes { within: GRACE }, Action::Terminate]
    );
    assert_eq!(machine.state(), ConnectionState::Closing);
    assert_eq!(machine.poll_timeout(), Some(start + GRACE));
    machine.handle_timeout(&mut at(start, GRACE - Duration::from_millis(1)));
    assert!(!machine.has_action());
    machine.handle_timeout(&mut at(start, GRACE));
    assert_eq!(actions(&mut machine), [Action::Kill, Action::AbortPipes]);
    assert_eq!(machine.poll_timeout(), None);
    let detail = machine.detail();
    assert_eq!(detail.cause, Cause::LocalClose);
    let cut = Cause::Timeout {
        kind: TimeoutKind::Flush,
        after: GRACE,
    };
    assert_eq!(detail.cut_short, Some(cut));
}

#[test]
fn who_ends_when_asked_is_not_ended() {
    let start = Instant::now();
    let mut machine = running();
    machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO));
    assert!(!machine.close(Cause::Drained, None, &mut at(start, Duration::ZERO)));
    actions(&mut machine);
    machine.handle_exit(-15);
    assert_eq!(machine.poll_timeout(), None);
    machine.handle_timeout(&mut at(start, GRACE * 2));
    assert!(!machine.has_action());
    assert_eq!(machine.detail().cause, Cause::LocalClose);
    assert_eq!(machine.detail().cut_short, None);
}

#[test]
fn a_second_close_can_only_shorten_the_first() {
    let start = Instant::now();
    let mut machine = running();
    machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO));
    let short = Duration::from_secs(1);
    machine.close(Cause::PoolStopped, Some(short), &mut at(start, short));
    assert_eq!(machine.poll_timeout(), Some(start + short * 2));
    machine.close(Cause::PoolStopped, Some(GRACE * 9), &mut at(start, short));
    assert_eq!(machine.poll_timeout(), Some(start + short * 2));
    assert_eq!(machine.detail().cause, Cause::LocalClose);
}

/// Its input may have bytes to send to somebody who outlives it: that takes no longer than the grace either.
#[test]
fn a_second_close_shortens_the_time_of_its_pipes_too() {
    let start = Instant::now();
    let short = Duration::from_secs(1);
    for exited in [false, true] {
        let mut machine = running();
        machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO));
        if exited {
            machine.handle_exit(0);
        }
        actions(&mut machine);
        machine.close(
            Cause::PoolStopped,
            Some(short),
            &mut at(start, Duration::ZERO),
        );
        assert_eq!(
            actions(&mut machine),
            [Action::ClosePipes { within: short }]
        );
        machine.close(Cause::PoolStopped, None, &mut at(start, Duration::ZERO));
        assert_eq!(actions(&mut machine), []);
    }
}

#[test]
fn what_has_exited_gets_no_signal() {
    let start = Instant::now();
    let mut machine = running();
    machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO));
    machine.handle_exit(0);
    assert_eq!(
        actions(&mut machine),
        [Action::ClosePipes { within: GRACE }]
    );
    let mut machine = running();
    machine.handle_exit(0);
    machine.close(Cause::LocalClose, None, &mut at(start, Duration::ZERO));
    assert_eq!(
        actions(&mut machine),
        [Action::ClosePipes { within: GRACE }]
    );
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.detail().phase, ClosePhase::Exited);
    let mut machine = running();
    machine.handle_exit(0);
    assert!(machine.abort(Cause::LocalAbort));
    assert_eq!(actions(&mut machine), [Action::AbortPipes]);
    assert!(!machine.abort(Cause::LocalAbort));
}

#[test]
fn a_session_that_is_gone_closes_it_and_hears_nothing_more() {
    let start = Instant::now();
    let mut machine = running();
    machine.handle_session_gone(Cause::SessionStopped, &mut at(start, Duration::ZERO));
    machine.handle_exit(0);
    assert!(!machine.has_event());
    machine.handle_pipe_told(0, &pipe_detail(0));
    machine.handle_pipe_told(1, &pipe_detail(0));
    assert!(matches!(
        machine.poll_event(),
        Some(ProcessEvent::Closed(_))
    ));
}

#[test]
fn a_drain_is_told_to_who_handles_it() {
    let mut machine = running();
    let left = Duration::from_secs(3);
    assert_eq!(machine.handle_draining(left), Standing::Told);
    assert!(matches!(machine.poll_event(), Some(ProcessEvent::Draining(told)) if told == left));
    machine.adopt(Interests::PROCESS_EXITED);
    assert_eq!(machine.handle_draining(left), Standing::Untold);
    machine.abort(Cause::LocalAbort);
    assert_eq!(machine.handle_draining(left), Standing::Ending);
}
