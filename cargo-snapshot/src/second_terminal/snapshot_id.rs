//! A snapshot's number on the command line: `2`, or `#2` as the tool itself writes it.
//!
//! Called by clap, for the arguments of `revert` and `drop`.

/// Parses the number of a snapshot. They count from 1.
///
/// # Errors
/// A message for a person, if `text` is no such number.
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
