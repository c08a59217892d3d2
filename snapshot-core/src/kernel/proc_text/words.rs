//! Words, numbers and fields of a text.
//!
//! Context: AS-SAFE.

pub(super) fn decimal(text: &[u8]) -> Option<i64> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

pub(super) fn hexadecimal(text: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(text).ok()?;
    u64::from_str_radix(text.strip_prefix("0x").unwrap_or(text), 16).ok()
}

pub(super) fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

/// The process ids in a text.
pub(crate) fn ids(text: &[u8]) -> impl Iterator<Item = i32> {
    words(text).filter_map(|word| i32::try_from(decimal(word)?).ok())
}

/// The value of `name` in a text of lines `name: value`; `name` is given with its colon.
pub fn field<'a>(text: &'a [u8], name: &str) -> Option<&'a [u8]> {
    text.split(|&byte| byte == b'\n')
        .find_map(|line| line.strip_prefix(name.as_bytes()))
        .map(<[u8]>::trim_ascii)
}

/// A number in hexadecimal digits.
pub fn hexadecimal_field(text: &[u8], name: &str) -> Option<u64> {
    hexadecimal(field(text, name)?)
}

/// A number in octal digits.
pub fn octal_field(text: &[u8], name: &str) -> Option<u64> {
    let text = core::str::from_utf8(field(text, name)?).ok()?;
    u64::from_str_radix(text, 8).ok()
}

/// A number, which may be negative.
pub fn number(text: &[u8], name: &str) -> Option<i64> {
    decimal(field(text, name)?)
}

/// A number of kilobytes in `/proc/PID/status`: `VmLck:` and so on.
pub fn kilobytes(text: &[u8], name: &str) -> Option<u64> {
    let value = words(field(text, name)?).next()?;
    u64::try_from(decimal(value)?).ok()
}
