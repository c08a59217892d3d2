//! What the program closes for good.
//!
//! Context: AS-SAFE.

/// What the program is about to close for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// The inode of its pipe, socket, file or terminal.
    pub inode: u64,
    /// Whether it is writable: a pipe's two ends have one inode.
    pub writes: bool,
    /// The process that closes it.
    pub pid: i32,
    /// The descriptor: a file may be open more than once, and all masters of terminals have one
    /// inode.
    pub fd: i32,
}
