//! What a program in C learns when a branch has ended.
//!
//! Context: IN-PROCESS.
#![expect(unsafe_code, reason = "says that the structure can grow")]

use std::ffi::c_int;

use snapshot_core::{Ended, Report, Rollback, SnapshotId};

use crate::border::Growing;

/// No branch has ended: the snapshot was just taken.
pub const SNAPSHOT_ENDED_NOT: u32 = 0;
/// The process exited; `number` is its status.
pub const SNAPSHOT_ENDED_EXITED: u32 = 1;
/// A signal killed the process; `number` is the signal.
pub const SNAPSHOT_ENDED_KILLED: u32 = 2;
/// The program, or a second terminal, asked to revert.
pub const SNAPSHOT_ENDED_REVERTED: u32 = 3;
/// Ctrl+C.
pub const SNAPSHOT_ENDED_INTERRUPTED: u32 = 4;

/// The program runs under a launcher, which keeps its snapshots.
pub const SNAPSHOT_SESSION: c_int = 1;
/// The program runs alone: its pid changes with every take, and files are not rolled back.
pub const SNAPSHOT_ALONE: c_int = 2;

/// What is known of a snapshot when `snapshot_take` returns.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct snapshot_report {
    /// Set it to `sizeof(struct snapshot_report)` before the call.
    pub size: u32,
    /// The snapshot's number.
    pub id: u32,
    /// How the branch before has ended: one of the `SNAPSHOT_ENDED_*`.
    pub ended: u32,
    /// The exit status or the signal; else 0.
    pub number: i32,
    /// The time from the branch's end, or from the request for it, to here. In nanoseconds; 0 if no
    /// branch has ended.
    pub latency_ns: u64,
    /// How many kernel objects (file offsets, timers) could not be put back.
    pub not_restored: u32,
    /// `SNAPSHOT_SESSION` or `SNAPSHOT_ALONE`.
    pub rollback: u32,
}

/// How a copy has ended. Arrays are made of it, so it does not grow.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct snapshot_end {
    /// `SNAPSHOT_ENDED_EXITED` or `SNAPSHOT_ENDED_KILLED`.
    pub ended: u32,
    /// The exit status or the signal.
    pub number: i32,
}

// SAFETY: it is `repr(C)`; the sizes of its fields leave no padding; the size is the first.
unsafe impl Growing for snapshot_report {
    const FIRST_BYTES: u32 = 32;

    fn set_size(&mut self, bytes: u32) {
        self.size = bytes;
    }
}

impl snapshot_report {
    /// A snapshot that was just taken.
    pub(crate) fn live(id: SnapshotId) -> Self {
        Self {
            size: 0,
            id: id.number(),
            ended: SNAPSHOT_ENDED_NOT,
            number: 0,
            latency_ns: 0,
            not_restored: 0,
            rollback: number_of(snapshot_core::rollback()).unsigned_abs(),
        }
    }

    /// A snapshot that the program has come back to.
    pub(crate) fn reverted(report: &Report) -> Self {
        let (ended, number) = numbers_of(report.ended);
        Self {
            size: 0,
            id: report.id.number(),
            ended,
            number,
            latency_ns: u64::try_from(report.latency.as_nanos()).unwrap_or(u64::MAX),
            not_restored: report.not_restored,
            rollback: number_of(report.rollback).unsigned_abs(),
        }
    }
}

/// `SNAPSHOT_ENDED_*`, and the exit status or the signal.
pub(crate) fn numbers_of(ended: Ended) -> (u32, i32) {
    match ended {
        Ended::Exited(status) => (SNAPSHOT_ENDED_EXITED, status),
        Ended::Killed(signal) => (SNAPSHOT_ENDED_KILLED, signal),
        Ended::Reverted => (SNAPSHOT_ENDED_REVERTED, 0),
        Ended::Interrupted => (SNAPSHOT_ENDED_INTERRUPTED, 0),
    }
}

/// The number for who keeps the snapshots; 0 for what this library doesn't know.
pub(crate) fn number_of(rollback: Rollback) -> c_int {
    match rollback {
        Rollback::Session => SNAPSHOT_SESSION,
        Rollback::Alone => SNAPSHOT_ALONE,
        _ => 0,
    }
}
