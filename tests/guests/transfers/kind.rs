//! The kinds of transfers, by their names: a call, and a channel.

use std::os::fd::RawFd;

use crate::channel::{Channel, pipe, pty, tcp, unix};
use crate::gets::{device, peek_and_receive, random, receive, receive_beside, receive_message};
use crate::gives::{send, sendfile, sendmmsg, sendmsg, splice, write, write_by_number, writev};

/// A kind of transfer.
#[derive(Clone, Copy)]
pub struct Kind {
    pub channel: fn() -> Channel,
    /// One call; all bytes are sent, or received into the buffer.
    pub call: Call,
}

#[derive(Clone, Copy)]
pub enum Call {
    /// Gives bytes from the beginning of these.
    Gives(fn(RawFd, &[u8]) -> isize),
    Gets(fn(RawFd, &mut [u8]) -> isize),
    /// Gets bytes from a device, without a pattern.
    GetsNoise(fn(&mut [u8]) -> isize),
}

pub fn kind(name: &str) -> Option<Kind> {
    let (what, channel) = name.split_once('-')?;
    let channel = match channel {
        "pipe" => pipe,
        "unix" => unix,
        "tcp" => tcp,
        "pty" => pty,
        _ => return None,
    };
    let call = match what {
        "write" => Call::Gives(write),
        "number" => Call::Gives(write_by_number),
        "writev" => Call::Gives(writev),
        "send" => Call::Gives(send),
        "sendmsg" => Call::Gives(sendmsg),
        "sendmmsg" => Call::Gives(sendmmsg),
        "sendfile" => Call::Gives(sendfile),
        "splice" => Call::Gives(splice),
        "recv" => Call::Gets(receive),
        "recvmsg" => Call::Gets(receive_message),
        "beside" => Call::Gets(receive_beside),
        "getrandom" => Call::GetsNoise(random),
        "urandom" => Call::GetsNoise(|bytes| device("/dev/urandom", bytes)),
        "zero" => Call::GetsNoise(|bytes| device("/dev/zero", bytes)),
        "peek" => Call::Gets(peek_and_receive),
        _ => return None,
    };
    Some(Kind { channel, call })
}
