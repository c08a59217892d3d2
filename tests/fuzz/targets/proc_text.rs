//! Fuzz: the texts of `/proc`, and the kernel's answers about local sockets. None is read past
//! its end, and what was read, written as the kernel writes it, is read as the same.
#![no_main]

use std::fmt::Write as _;

use libfuzzer_sys::fuzz_target;
use snapshot_core::kernel::{
    proc_text::{self, FileMapping},
    unix_diag,
};
use snapshot_core::terms::{Call, Doing};

fuzz_target!(|bytes: &[u8]| {
    whole(bytes);
    for line in bytes.split(|&byte| byte == b'\n') {
        a_line(line);
    }
    // Each message of the kernel's takes something off the rest.
    assert!(unix_diag::messages(bytes).count() <= bytes.len());
});

fn whole(text: &[u8]) {
    if let Some(Doing::Call(call)) = proc_text::doing(text) {
        assert_eq!(
            proc_text::doing(written_call(&call).as_bytes()),
            Some(Doing::Call(call))
        );
    }
    if let Some(stat) = proc_text::stat(text) {
        let zeros = "0 ".repeat(29);
        let (parent, flags, processor) = (stat.parent, stat.flags, stat.processor);
        let rest = format!(" {parent} 0 0 0 0 {flags} {zeros}{processor} 0");
        let again = [b"7 (a ) b) ".as_slice(), &[stat.state], rest.as_bytes()].concat();
        assert_eq!(proc_text::stat(&again), Some(stat));
    }
    for name in ["SigQ:", "SigPnd:", "VmLck:", "sigmask:", ""] {
        let _ = proc_text::signals(text, name);
        let _ = proc_text::number(text, name);
        let _ = proc_text::kilobytes(text, name);
        let _ = proc_text::octal_field(text, name);
        if let Some(value) = proc_text::hexadecimal_field(text, name) {
            let again = format!("other: 1\n{name}\t{value:016x}\n");
            let read = proc_text::hexadecimal_field(again.as_bytes(), name);
            assert!(name.is_empty() || read == Some(value));
        }
    }
    let _ = proc_text::queued_signals(text);
    let _ = proc_text::last_ran_ns(text);
    let _ = proc_text::address_space_pages(text);
    let timers: Vec<_> = proc_text::timers(text).collect();
    let mut again = String::new();
    for timer in &timers {
        let how = match timer.notify & 3 {
            0 => "signal",
            2 => "thread",
            _ => "none",
        };
        let whose = if timer.notify & 4 == 0 { "pid" } else { "tid" };
        let (id, signal, value) = (timer.id, timer.signal, timer.value);
        let (target, clock) = (timer.target, timer.clock);
        let _ = write!(
            again,
            "ID: {id}\nsignal: {signal}/{value:016x}\nnotify: {how}/{whose}.{target}\nClockID: {clock}\n"
        );
    }
    assert_eq!(
        proc_text::timers(again.as_bytes()).collect::<Vec<_>>(),
        timers
    );
    assert_eq!(
        proc_text::file_mappings(text).count(),
        text.split(|&byte| byte == b'\n')
            .filter(|line| proc_text::file_mapping(line).is_some())
            .count()
    );
}

fn written_call(call: &Call) -> String {
    let mut text = format!("{}", call.number);
    for number in call.arguments.iter().chain([&call.stack, &call.program]) {
        let _ = write!(text, " {number:#x}");
    }
    text + "\n"
}

fn a_line(line: &[u8]) {
    if let Some(interest) = proc_text::interest(line) {
        let (by, events, data) = (interest.by, interest.events, interest.data);
        let mut again = format!("tfd: {by:8} events: {events:8x} data: {data:16x}  pos:0");
        if let Some((device, inode)) = interest.file {
            let _ = write!(again, " ino:{inode:x} sdev:{device:x}");
        }
        assert_eq!(proc_text::interest(again.as_bytes()), Some(interest));
    }
    if let Some(watch) = proc_text::watch(line) {
        let (number, inode, device, mask) = (watch.number, watch.inode, watch.device, watch.mask);
        let again = format!(
            "inotify wd:{number:x} ino:{inode:x} sdev:{device:x} mask:{mask:x} ignored_mask:0"
        );
        assert_eq!(proc_text::watch(again.as_bytes()), Some(watch));
    }
    if let Some(lock) = proc_text::lock(line) {
        let kind = lock.kind.word();
        let access = if lock.is_exclusive { "WRITE" } else { "READ" };
        let end = match lock.length {
            0 => "EOF".to_owned(),
            // The kernel counts bytes from the first, and none lies behind the last number.
            length => (i128::from(lock.start) + i128::from(length) - 1).to_string(),
        };
        let start = lock.start;
        let again = format!("lock:\t1: {kind}  ADVISORY  {access} 71 08:01:123 {start} {end}");
        assert_eq!(proc_text::lock(again.as_bytes()), Some(lock), "{again}");
    }
    if let Some(mapping) = proc_text::file_mapping(line) {
        let again = written_mapping(&mapping);
        assert_eq!(proc_text::file_mapping(&again), Some(mapping));
        assert_eq!(proc_text::mapping(line), Some(mapping.range));
        assert_eq!(proc_text::shared_mapping(line).is_some(), mapping.is_shared);
    }
    let _ = proc_text::has_flag(line, b"wf");
}

fn written_mapping(mapping: &FileMapping<'_>) -> Vec<u8> {
    let right = |bit: i32, letter| {
        if mapping.protection & bit == 0 {
            '-'
        } else {
            letter
        }
    };
    let rights: String = [(1, 'r'), (2, 'w'), (4, 'x')]
        .map(|(bit, letter)| right(bit, letter))
        .iter()
        .collect();
    let shared = if mapping.is_shared { 's' } else { 'p' };
    let (start, end) = (mapping.range.start, mapping.range.end);
    let (offset, (major, minor), inode) = (mapping.offset, mapping.device, mapping.inode);
    let mut line = format!(
        "{start:08x}-{end:08x} {rights}{shared} {offset:08x} {major:02x}:{minor:02x} {inode} "
    )
    .into_bytes();
    line.extend(std::iter::repeat_n(b' ', 20));
    line.extend_from_slice(mapping.path);
    line
}
