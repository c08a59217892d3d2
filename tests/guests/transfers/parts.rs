//! A buffer as the parts of a vector, and of a message.

/// Parts of a buffer of uneven lengths.
pub fn parts(bytes: &[u8]) -> Vec<libc::iovec> {
    let mut rest = bytes;
    let mut parts = Vec::new();
    for number in 0.. {
        if rest.is_empty() {
            break;
        }
        let (part, after) = rest.split_at(rest.len().min(1000 + number * 7000));
        parts.push(libc::iovec {
            iov_base: part.as_ptr().cast_mut().cast(),
            iov_len: part.len(),
        });
        rest = after;
    }
    parts
}

pub fn message(parts: &[libc::iovec]) -> libc::msghdr {
    // SAFETY: all zero is a valid message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_ptr().cast_mut();
    message.msg_iovlen = parts.len();
    message
}
