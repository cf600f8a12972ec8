//! Any text is a time or an error of one line, and a time survives its text.
#![no_main]

use annals::Timestamp;
use annals::time::parse_duration;

libfuzzer_sys::fuzz_target!(|input: (i64, &str)| {
    let (now, text) = input;
    match Timestamp::parse_relative(text, Timestamp::from_nanos(now)) {
        Ok(time) => assert_eq!(Timestamp::parse(&time.to_string()), Ok(time)),
        Err(error) => assert!(!error.to_string().contains(char::is_control)),
    }
    if let Err(error) = parse_duration(text) {
        assert!(!error.to_string().contains(char::is_control));
    }
});
