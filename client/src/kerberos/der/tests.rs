use super::*;

fn written(write: impl FnOnce(&mut Writer)) -> Vec<u8> {
    let mut writer = Writer::new();
    write(&mut writer);
    writer.finish().to_vec()
}

fn read(bytes: &[u8]) -> Reader<'_> {
    Reader::new("test", bytes)
}

#[test]
fn an_integer_has_its_shortest_form_and_comes_back() {
    for (number, hex) in [
        (0_i64, &[2, 1, 0][..]),
        (127, &[2, 1, 127]),
        (128, &[2, 2, 0, 128]),
        (-1, &[2, 1, 255]),
        (-128, &[2, 1, 128]),
        (-129, &[2, 2, 255, 127]),
        (i64::from(i32::MAX), &[2, 4, 127, 255, 255, 255]),
        (i64::from(i32::MIN), &[2, 4, 128, 0, 0, 0]),
    ] {
        assert_eq!(written(|w| w.integer(number)), hex);
        assert_eq!(i64::from(read(hex).i32("n").unwrap()), number);
    }
    assert_eq!(written(|w| w.integer(u32::MAX)), [2, 5, 0, 255, 255, 255, 255]);
    assert_eq!(read(&[2, 5, 0, 255, 255, 255, 255]).u32("n").unwrap(), u32::MAX);
    assert_eq!(read(&[2, 1, 255]).u32("n").unwrap(), u32::MAX, "with a sign, as some write it");
}

#[test]
fn a_number_in_any_other_form_is_refused() {
    for bytes in [
        &[2, 0][..],
        &[2, 2, 0, 1],
        &[2, 2, 255, 255],
        &[2, 5, 1, 0, 0, 0, 0],
        &[2, 9, 1, 0, 0, 0, 0, 0, 0, 0, 0],
        &[2, 1, 1, 0],
        &[4, 1, 1],
    ] {
        assert!(read(bytes).i32("n").is_err() && read(bytes).u32("n").is_err(), "{bytes:?}");
    }
    assert!(read(&[2, 5, 0, 255, 255, 255, 255]).i32("n").is_err());
}

#[test]
fn lengths_go_out_in_their_shortest_form_and_come_back() {
    for (length, header) in [
        (0, &[4, 0][..]),
        (127, &[4, 127]),
        (128, &[4, 0x81, 128]),
        (255, &[4, 0x81, 255]),
        (256, &[4, 0x82, 1, 0]),
        (70_000, &[4, 0x83, 1, 0x11, 0x70]),
    ] {
        let octets = vec![7; length];
        let bytes = written(|w| w.octets(&octets));
        assert_eq!(&bytes[..header.len()], header);
        assert_eq!(read(&bytes).octets("o").unwrap(), octets);
    }
}

#[test]
fn a_length_that_lies_or_is_not_der_is_an_error_with_its_address() {
    for (bytes, problem) in [
        (&[0x30, 3, 1, 1][..], "longer than what is there"),
        (&[0x30, 0x84, 255, 255, 255, 255], "longer than what is there"),
        (&[0x30, 0x85, 1, 0, 0, 0, 0], "form that DER does not allow"),
        (&[0x30, 0x80, 0, 0], "form that DER does not allow"),
        (&[0x30, 0x81, 5, 0, 0, 0, 0, 0], "shortest form"),
        (&[0x30, 0x82, 0, 200], "shortest form"),
        (&[0x30], "cut in its length"),
        (&[0x30, 0x82, 1], "cut in its length"),
        (&[], "missing"),
        (&[0x31, 0], "another tag"),
    ] {
        let error = read(bytes).sequence("s").err().unwrap();
        assert!(error.problem.contains(problem), "{bytes:?}: {error}");
    }
    let mut outer = read(&[0x30, 4, 0xA0, 2, 2, 9]);
    let mut sequence = outer.sequence("s").unwrap();
    let error = sequence.field(0, "n").unwrap().i32("n").unwrap_err();
    assert_eq!(error.to_string(), "test is malformed: n at byte 4: it is longer than what is there");
    assert!(read(&[0x1F, 0x81, 0, 0]).end_extensible("x").is_err(), "a tag of more than a byte");
}

#[test]
fn a_list_longer_than_any_honest_one_is_refused() {
    let list = |count| written(|w| w.sequence(|w| (0..count).for_each(|_| w.sequence(|_| {}))));
    let count = |bytes: &[u8]| read(bytes).each("l", |list| list.sequence("e").map(drop)).map(|all| all.len());
    assert_eq!(count(&list(MAX_ELEMENTS)).unwrap(), MAX_ELEMENTS);
    assert!(count(&list(MAX_ELEMENTS + 1)).is_err());
}

#[test]
fn flags_of_fewer_or_more_bits_than_32_are_taken_for_what_they_say() {
    for (bytes, flags) in [
        (&[3, 5, 0, 0x40, 0x81, 0, 0x10][..], 0x4081_0010),
        (&[3, 2, 4, 0x50], 0x5000_0000),
        (&[3, 1, 0], 0),
        (&[3, 6, 0, 1, 2, 3, 4, 5], 0x0102_0304),
    ] {
        assert_eq!(read(bytes).flags("f").unwrap(), flags);
    }
    assert_eq!(written(|w| w.flags(0x4081_0010)), [3, 5, 0, 0x40, 0x81, 0, 0x10]);
    assert!(read(&[3, 0]).flags("f").is_err() && read(&[3, 2, 8, 0]).flags("f").is_err());
    assert!(read(&[3, 1, 1]).flags("f").is_err());
}

#[test]
fn text_that_is_no_text_and_a_time_that_is_no_time_are_refused() {
    assert_eq!(read(&written(|w| w.text("用户"))).text("t").unwrap(), "用户");
    assert!(read(&[0x1B, 1, 0xFF]).text("t").is_err());
    let noon = KerberosTime::at(43_200);
    assert_eq!(read(&written(|w| w.time(noon))).time("t").unwrap(), noon);
    assert!(read(&[0x18, 1, b'Z']).time("t").is_err());
    assert!(read(&[2, 3, 0x0F, 0x42, 0x40]).micros("u").is_err(), "a million");
}
