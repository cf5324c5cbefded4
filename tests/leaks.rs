//! The check for leaks finds what is left over, and nothing else.

use std::net::TcpListener;
use std::time::Duration;

use switchboard::BufferSlots;
use switchboard::testkit::LeakCheck;
use switchboard_tests::alone;

/// In a process of its own: descriptors and threads are everybody's.
#[test]
fn it_finds_descriptors_threads_tasks_and_slots() {
    if !alone("it_finds_descriptors_threads_tasks_and_slots") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.unwrap().block_on(async {
        let slots = BufferSlots::new(3, 4096, true).unwrap();
        let leaks = LeakCheck::begin()
            .slots(&slots)
            .patience(Duration::from_millis(50));
        leaks.settle().await;

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let slot = slots.try_take().unwrap();
        let task = tokio::spawn(std::future::pending::<()>());
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || ended.recv());
        let left: Vec<_> = leaks.leaks().await.iter().map(|leak| leak.what).collect();
        let mut expected = vec!["slots in use", "tasks"];
        if cfg!(target_os = "linux") {
            expected.extend(["descriptors", "threads"]);
        }
        assert_eq!(left, expected);
        let told = tokio::spawn(async move {
            leaks.settle().await;
        });
        let panic = told.await.unwrap_err().into_panic();
        let text = panic.downcast_ref::<String>().unwrap();
        assert!(text.contains("slots in use: 0 before, 1 now"), "{text}");

        drop((listener, slot, end));
        task.abort();
        let _ = thread.join().unwrap();
    });
}
