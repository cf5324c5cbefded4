//! `stdin_session`, in pipelines of a shell.
#![cfg(unix)]

use std::process::{Command, Output, Stdio};

use crate::examples_support::program;

/// Runs a script in which `"$0"` is the program.
fn sh(script: &str) -> Output {
    Command::new("sh")
        .args(["-c", script])
        .arg(program("stdin_session"))
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(script: &str) -> String {
    let output = sh(script);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// AC-21.
#[test]
fn ac_21_stdin_session_numbers_and_counts_what_a_pipe_brings() {
    let printed = printed("printf 'a\\nb\\n' | \"$0\"");
    assert_eq!(printed, "     1\ta\n     2\tb\n2 4\n");
}

/// AC-21, XAS-48: what has no end is no line, as for `wc`.
#[test]
fn ac_21_stdin_session_counts_as_wc_does() {
    let input = "(seq 1 20000; printf rest)";
    let theirs = printed(&format!("{input} | wc -l -c"));
    let ours = printed(&format!("{input} | \"$0\" | tail -1"));
    let counts = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(counts(&ours), counts(&theirs));
}

/// AC-21: a file is told apart at once.
#[test]
fn ac_21_stdin_session_says_that_a_file_is_no_channel() {
    let output = sh("\"$0\" < \"$0\"");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(output.stdout, b"");
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("regular file cannot be waited for"),
        "{errors}"
    );
}

/// AC-22: the program that has the pipe next finds it as it was.
#[cfg(target_os = "linux")]
#[test]
fn ac_22_stdin_session_leaves_the_pipe_blocking() {
    // The first one reads up to the end; who comes then sees the flags of the description that they shared.
    let printed = printed("printf 'x\\n' | { \"$0\"; grep flags /proc/self/fdinfo/0; }");
    let flags = printed.split_whitespace().last().unwrap();
    let flags = u32::from_str_radix(flags, 8).unwrap();
    assert_eq!(flags & 0o4000, 0, "O_NONBLOCK is left behind: {printed}");
}

/// AC-21: in a terminal, which socat makes; control-D ends it.
#[test]
fn ac_21_stdin_session_in_a_terminal() {
    if Command::new("socat")
        .arg("-V")
        .stdout(Stdio::null())
        .status()
        .is_err()
    {
        eprintln!("SKIPPED: socat is not installed");
        return;
    }
    // What socat shows is what the terminal echoes, and then the program's own.
    let printed = printed(
        "{ printf 'typed\\n'; sleep 1; printf '\\004'; sleep 1; } | socat - \"EXEC:$0,pty,setsid,ctty\"",
    );
    assert!(printed.contains("1\ttyped\r\n"), "{printed}");
    assert!(printed.contains("1 6\r\n"), "{printed}");
}
