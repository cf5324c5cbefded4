use super::*;

type Buffer = StreamBuffer<&'static str>;

fn buffer(chunks: &[&'static str]) -> Buffer {
    let mut buffer = Buffer::new();
    for chunk in chunks {
        buffer.push(Bytes::from_static(chunk.as_bytes())).unwrap();
    }
    buffer
}

fn finished(chunks: &[&'static str]) -> Buffer {
    let mut buffer = buffer(chunks);
    buffer.finish();
    buffer
}

fn ready(text: &'static str) -> Taken<&'static str> {
    Taken::Ready(Bytes::from_static(text.as_bytes()))
}

fn ended(text: &'static str) -> Taken<&'static str> {
    Taken::Ended(Bytes::from_static(text.as_bytes()))
}

#[test]
fn ua_16_up_to_takes_what_is_there_and_nothing_at_the_end() {
    let mut buffer = buffer(&["0123456789"]);
    assert_eq!(buffer.take_up_to(4), ready("0123"));
    assert_eq!(buffer.take_up_to(100), ready("456789"));
    assert_eq!(buffer.take_up_to(1), Taken::More);
    buffer.finish();
    assert_eq!(buffer.take_up_to(1), ended(""));
    assert!(buffer.at_eof());
}

#[test]
fn aio_31_of_nothing_nothing_comes_at_once() {
    assert_eq!(buffer(&[]).take_up_to(0), ready(""));
    assert_eq!(buffer(&["ab"]).take_up_to(0), ready(""));
}

#[test]
fn aio_31_all_comes_at_the_end_and_stays_when_it_is_too_much() {
    let mut all = buffer(&["ab", "cd"]);
    assert_eq!(all.take_all(4), Taken::More);
    all.finish();
    let (length, dropped) = (4, 0);
    assert_eq!(all.take_all(3), Taken::Over { length, dropped });
    assert_eq!(all.take_all(4), ready("abcd"));
    assert_eq!(all.take_all(0), ready(""));
}

#[test]
fn ua_18_aio_33_what_is_short_at_the_end_comes_as_partial() {
    let mut buffer = buffer(&["ab", "c"]);
    assert_eq!(buffer.take_exact(5), Taken::More);
    buffer.finish();
    assert_eq!(buffer.take_exact(5), ended("abc"));
    assert_eq!(buffer.take_exact(1), ended(""));
    assert_eq!(buffer.take_exact(0), ready(""));
}

#[test]
fn ua_19_lines_keep_their_lf_and_the_last_needs_none() {
    let mut buffer = finished(&["a\nb"]);
    assert_eq!(buffer.take_line(64), ready("a\n"));
    assert_eq!(buffer.take_line(64), ended("b"));
    assert_eq!(buffer.take_line(64), ended(""));
}

#[test]
fn aio_32_after_a_line_over_the_limit_the_next_is_readable() {
    let mut buffer = finished(&["0123456789\nok\n"]);
    let (length, dropped) = (10, 11);
    assert_eq!(buffer.take_line(4), Taken::Over { length, dropped });
    assert_eq!(buffer.take_line(4), ready("ok\n"));
}

#[test]
fn aio_32_a_long_line_without_its_lf_is_dropped_with_the_whole_buffer() {
    let mut buffer = buffer(&["01", "234"]);
    let (length, dropped) = (5, 5);
    assert_eq!(buffer.take_line(4), Taken::Over { length, dropped });
    assert!(buffer.is_empty());
    buffer.push("ok\n".into()).unwrap();
    assert_eq!(buffer.take_line(4), ready("ok\n"));
}

#[test]
fn a_line_of_exactly_the_limit_passes() {
    assert_eq!(buffer(&["abcd\n"]).take_line(4), ready("abcd\n"));
    assert_eq!(buffer(&["abcd"]).take_line(4), Taken::More);
    assert_eq!(buffer(&["\n"]).take_line(0), ready("\n"));
}

#[test]
fn a_delimiter_is_found_across_every_split_and_stays_with_what_it_ends() {
    let text = "mail\r\n.body\r\n.\r\nrest";
    let delimiter = Bytes::from_static(b"\r\n.\r\n");
    for first in 0..text.len() {
        for second in first..text.len() {
            let mut buffer = buffer(&[&text[..first], &text[first..second], &text[second..]]);
            let taken = buffer.take_until(&delimiter, 64);
            assert_eq!(taken, ready("mail\r\n.body\r\n.\r\n"));
            assert_eq!(buffer.take_up_to(9), ready("rest"));
        }
    }
}

#[test]
fn what_is_too_long_before_a_delimiter_stays() {
    let delimiter = Bytes::from_static(b"--");
    let over = |length| Taken::Over { length, dropped: 0 };
    assert_eq!(buffer(&["abcde--"]).take_until(&delimiter, 4), over(5));
    assert_eq!(
        buffer(&["abcd--"]).take_until(&delimiter, 4),
        ready("abcd--")
    );
    let mut dribbled = buffer(&["abc", "de"]);
    assert_eq!(dribbled.take_until(&delimiter, 4), Taken::More);
    dribbled.push("f".into()).unwrap();
    assert_eq!(dribbled.take_until(&delimiter, 4), over(5));
    assert_eq!(dribbled.take_up_to(99), ready("abcdef"));
}

#[test]
fn an_empty_delimiter_is_found_at_once() {
    let nothing = Bytes::new();
    assert_eq!(buffer(&["ab"]).take_until(&nothing, 4), ready(""));
    assert_eq!(buffer(&[]).take_until(&nothing, 0), ready(""));
}

#[test]
fn what_came_before_an_error_is_read_before_it() {
    let mut buffer = buffer(&["a\nbc"]);
    buffer.fail("reset");
    assert_eq!(buffer.take_line(64), ready("a\n"));
    assert_eq!(buffer.take_line(64), Taken::Failed("reset"));
    assert_eq!(buffer.take_exact(3), Taken::Failed("reset"));
    assert_eq!(buffer.take_all(64), Taken::Failed("reset"));
    assert_eq!(buffer.take_up_to(64), ready("bc"));
    assert_eq!(buffer.take_up_to(64), Taken::Failed("reset"));
    assert_eq!(buffer.error(), Some(&"reset"));
    assert!(!buffer.at_eof());
}

#[test]
fn nothing_comes_after_the_end_and_the_first_end_holds() {
    let mut buffer = finished(&["ab"]);
    assert_eq!(buffer.push("cd".into()), Err(Bytes::from("cd")));
    buffer.fail("reset");
    assert_eq!(buffer.error(), None);
    assert_eq!(buffer.take_exact(3), ended("ab"));
}

#[test]
fn another_delimiter_is_looked_for_from_the_start() {
    let mut buffer = buffer(&["a;b\n", "c"]);
    assert_eq!(
        buffer.take_until(&Bytes::from_static(b"!"), 64),
        Taken::More
    );
    assert_eq!(
        buffer.take_until(&Bytes::from_static(b";"), 64),
        ready("a;")
    );
    assert_eq!(buffer.take_line(64), ready("b\n"));
}

#[test]
fn what_lies_in_one_chunk_is_not_copied() {
    let chunk = Bytes::from("one\ntwo\n".repeat(400));
    let inside = chunk.as_ptr_range();
    let mut buffer = Buffer::new();
    buffer.push(chunk).unwrap();
    buffer.push(Bytes::from(vec![b'x'; 4096])).unwrap();
    for taken in [buffer.take_line(64), buffer.take_exact(8)] {
        let Taken::Ready(part) = taken else {
            panic!("{taken:?}")
        };
        assert!(inside.contains(&part.as_ptr()));
    }
}

#[test]
fn t_09_a_line_that_comes_byte_by_byte_is_looked_at_once() {
    const LENGTH: usize = 64 * 1024;
    let mut buffer = Buffer::new();
    for count in 0..LENGTH {
        assert_eq!(buffer.take_line(LENGTH), Taken::More);
        assert_eq!(buffer.scanned, count);
        buffer.push(Bytes::from_static(b"x")).unwrap();
    }
    buffer.push(Bytes::from_static(b"\n")).unwrap();
    let Taken::Ready(line) = buffer.take_line(LENGTH) else {
        panic!("the line is there");
    };
    assert_eq!(line.len(), LENGTH + 1);
}

#[test]
fn bytes_that_come_one_by_one_wait_in_few_pieces() {
    let mut buffer = Buffer::new();
    for _ in 0..10_000 {
        buffer.push(Bytes::from_static(b"x")).unwrap();
    }
    let (mut pieces, mut left) = (0, buffer.len());
    while left > 0 {
        buffer.consume(buffer.first().len());
        (pieces, left) = (pieces + 1, buffer.len());
    }
    assert_eq!(pieces, 2);
}

#[test]
fn ua_17_bytes_are_moved_into_what_the_caller_lends() {
    let mut buffer = buffer(&["abc", "def"]);
    let mut target = [0; 5];
    assert_eq!(buffer.copy_to(&mut target), 5);
    assert_eq!(&target, b"abcde");
    assert_eq!(buffer.copy_to(&mut target), 1);
    assert_eq!(buffer.copy_to(&mut target), 0);
}
