//! What a session is told of its process, and in which order.

use switchboard::SpawnProcess;
use switchboard_tests::with_pool;

use super::{story, witness};

/// AIO-17, AIO-21, AIO-22, AIO-23.
#[test]
fn aio_17_lines_pipes_exit_and_end_in_order() {
    with_pool(async |pool| {
        let (session, words) = witness();
        let spawn = SpawnProcess::shell("echo one; echo two; exit 3");
        let process = pool.spawn(spawn, session).await.unwrap();
        let story = story(words).await;
        let lines: Vec<_> = story
            .iter()
            .filter(|word| word.starts_with("1: "))
            .collect();
        assert_eq!(lines, ["1: one", "1: two"]);
        assert!(story.contains(&"exited 3".to_owned()), "{story:?}");
        for fd in 0..3 {
            assert!(story.contains(&format!("closed {fd}")), "{story:?}");
        }
        assert_eq!(story.last().unwrap(), "end: closed by peer");
        assert_eq!(process.returncode(), Some(3));
        assert_eq!(process.wait_closed().await, 3);
    });
}

/// AIO-18: its input is a channel like any other.
#[test]
fn aio_18_what_is_sent_comes_back_from_cat() {
    with_pool(async |pool| {
        let (session, words) = witness();
        let process = pool.spawn(SpawnProcess::new("cat"), session).await.unwrap();
        assert!(process.pipe(7).is_none());
        process.send_with("hello\nworld\n", 5_u64).unwrap();
        process.write_eof().unwrap();
        let story = story(words).await;
        assert!(story.contains(&"1: hello".to_owned()), "{story:?}");
        assert!(story.contains(&"1: world".to_owned()), "{story:?}");
        assert!(story.contains(&"sent 5".to_owned()), "{story:?}");
        assert_eq!(story.last().unwrap(), "end: closed by peer");
        assert_eq!(process.wait().await, 0);
    });
}

/// AIO-20.
#[test]
fn aio_20_a_close_ends_it() {
    with_pool(async |pool| {
        let (session, words) = witness();
        let process = pool.spawn(SpawnProcess::new("sleep").arg("60"), session);
        let process = process.await.unwrap();
        assert!(process.close());
        let story = story(words).await;
        assert!(story.contains(&"exited -15".to_owned()), "{story:?}");
        assert_eq!(story.last().unwrap(), "end: closed by host");
    });
}
