//! The words of an operation: a name and arguments, with a space between. A path is written with
//! `%20` for a byte that would not do, and `@N/PATH` is below the directory that slot N holds.
//! So a random operation can be printed, read by a person, and performed again.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Writes a path as one word.
pub fn encode(path: &Path) -> String {
    let mut word = String::new();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-@".contains(&byte) {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02x}"));
        }
    }
    word
}

/// Reads what [`encode`] wrote.
pub fn decode(word: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let Some((&byte, behind)) = rest.split_first() {
        rest = behind;
        if byte == b'%' {
            let (digits, behind) = rest.split_at(2);
            let digits = std::str::from_utf8(digits).expect("two digits");
            bytes.push(u8::from_str_radix(digits, 16).expect("two digits"));
            rest = behind;
        } else {
            bytes.push(byte);
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// A number in a word, of any size and sign.
pub fn number<T: std::str::FromStr>(word: &str) -> T {
    match word.parse() {
        Ok(number) => number,
        Err(_) => panic!("not a number: {word}"),
    }
}

/// A number in octal digits.
pub fn octal(word: &str) -> u32 {
    u32::from_str_radix(word, 8).expect("octal digits")
}

/// So many bytes, others for another salt.
pub fn bytes(length: &str, salt: &str) -> Vec<u8> {
    let mut state: u64 = number::<u64>(salt).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..number(length)).map(|_| next()).collect()
}

/// A slot's number and the path behind it, if a path is below a held directory.
pub fn below_slot(path: &Path) -> Option<(usize, &Path)> {
    let rest = path.as_os_str().as_bytes().strip_prefix(b"@")?;
    let (slot, rest) = rest.split_first()?;
    let rest = rest.strip_prefix(b"/")?;
    Some((usize::from(slot - b'0'), Path::new(OsStr::from_bytes(rest))))
}
