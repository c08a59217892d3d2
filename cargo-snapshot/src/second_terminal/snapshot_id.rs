//! A snapshot's number on the command line: `2`, or `#2` as the tool itself writes it.

/// Parses a number that can be a snapshot's; they count from 1.
pub fn parse(text: &str) -> Result<u32, String> {
    match text.strip_prefix('#').unwrap_or(text).parse() {
        Ok(id) if id > 0 => Ok(id),
        _ => Err("a snapshot is a number from 1, as `cargo snapshot list` shows".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_the_sign() {
        assert_eq!(parse("2"), Ok(2));
        assert_eq!(parse("#17"), Ok(17));
        for bad in ["", "#", "0", "-1", "##1", "first", "4294967296"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
