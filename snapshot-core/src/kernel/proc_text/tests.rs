use super::*;
use crate::sys::SignalSet;
use crate::terms::{Call, Doing};
use proptest::prelude::*;

#[test]
fn a_blocked_call() {
    let text = b"232 0x5 0x7ffd5c1c6b50 0x400 0xffffffff 0x0 0x8 0x7ffd5c1c6b38 0x7f1e2b0f6d16\n";
    let Some(Doing::Call(call)) = doing(text) else {
        panic!("not a call");
    };
    assert_eq!(call.number, libc::SYS_epoll_wait);
    assert_eq!(call.arguments[3], 0xffff_ffff);
    assert_eq!(call.program, 0x7f1e_2b0f_6d16);
    assert_eq!(doing(b"running\n"), Some(Doing::Running));
    assert_eq!(doing(b"-1 0x7ffd 0x7f1e\n"), Some(Doing::NoCall));
    assert_eq!(doing(b"232 0x5"), None);
    assert_eq!(doing(b""), None);
}

#[test]
fn fields_of_status() {
    let text = b"Name:\ta: b\nSigQ:\t3/96364\nVmLck:\t      64 kB\nSigBlk:\t0000000000010000\n";
    assert_eq!(kilobytes(text, "VmLck:"), Some(64));
    assert_eq!(queued_signals(text), Some(3));
    assert_eq!(signals(text, "SigBlk:"), Some(SignalSet::only(17)));
    assert_eq!(field(text, "Name:"), Some(&b"a: b"[..]));
    assert_eq!(signals(text, "SigIgn:"), None);
}

#[test]
fn own_texts_are_understood() {
    let read =
        |name: &str| std::fs::read(format!("/proc/thread-self/{name}")).expect("/proc is mounted");
    let stat = stat(&read("stat")).expect("a stat");
    assert_eq!(stat.state, b'R');
    assert!(!stat.is_kernel_worker());
    // A thread that reads its own file is in the call that reads.
    let Some(Doing::Call(call)) = doing(&read("syscall")) else {
        panic!("it was reading");
    };
    assert_eq!(call.number, libc::SYS_read);
    assert!(address_space_pages(&read("statm")).expect("pages") > 100);
    assert!(last_ran_ns(&read("sched")).expect("a time") > 0);
    assert!(last_loaded_ns(&read("sched")).expect("a time") > 0);
    assert!(voluntary_switches(&read("sched")).is_some());
    let maps = read("maps");
    let mappings = maps.split(|&byte| byte == b'\n').filter_map(mapping);
    let here = own_texts_are_understood as *const () as usize;
    assert_eq!(
        mappings
            .filter(|mapping| (mapping.start..mapping.end).contains(&here))
            .count(),
        1
    );
}

#[test]
fn a_name_with_parentheses() {
    let mut text = b"7 (a) R (b)\n) S 1 1 1 0 -1 4194560 0".to_vec();
    text.extend(std::iter::repeat_n(b" 0".as_slice(), 28).flatten());
    text.extend(b" 3 0 0");
    let stat = stat(&text).expect("a stat");
    assert_eq!(
        (stat.state, stat.flags, stat.processor),
        (b'S', 4_194_560, 3)
    );
}

#[test]
fn timers_of_every_kind() {
    let text = b"ID: 2\nsignal: 34/0000000000001234\nnotify: signal/pid.71\nClockID: 0\n\
        ID: 5\nsignal: 32/00005581e4c0a2b0\nnotify: signal/tid.72\nClockID: -6\n\
        ID: 6\nsignal: 0/0000000000000000\nnotify: none/pid.71\nClockID: 1\n";
    let timers: Vec<Timer> = timers(text).collect();
    assert_eq!(timers.len(), 3);
    assert_eq!(
        (timers[0].id, timers[0].signal, timers[0].value),
        (2, 34, 0x1234)
    );
    assert_eq!(timers[1].notify, libc::SIGEV_SIGNAL | libc::SIGEV_THREAD_ID);
    assert_eq!((timers[1].target, timers[1].clock), (72, -6));
    assert_eq!(timers[2].notify, libc::SIGEV_NONE);
}

#[test]
fn lines_of_fdinfo() {
    let line = b"tfd:        5 events:       19 data: ffffffff00000005  pos:0 ino:61af sdev:7";
    assert_eq!(
        interest(line),
        Some(Interest {
            by: 5,
            events: 0x19,
            data: 0xffff_ffff_0000_0005,
            file: Some((7, 0x61af)),
        })
    );
    let line = b"inotify wd:3 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8";
    let watch = watch(line).expect("a watch");
    assert_eq!(
        (watch.number, watch.inode, watch.mask),
        (3, 0x9e7e, 0x0800_afce)
    );
    let line = b"lock:\t1: POSIX  ADVISORY  WRITE 71 08:01:123 10 19";
    let read = lock(line).expect("a lock");
    assert_eq!((read.kind, read.is_exclusive), (LockKind::Process, true));
    assert_eq!((read.start, read.length), (10, 10));
    let line = b"lock:\t1: FLOCK  ADVISORY  READ 71 08:01:123 0 EOF";
    let read = lock(line).expect("a lock");
    assert_eq!((read.kind, read.length), (LockKind::Flock, 0));
    assert!(!read.is_exclusive);
    let line = b"lock:\t1: LEASE  ACTIVE    READ 71 08:01:123 0 EOF";
    let read = lock(line).expect("a lease");
    assert_eq!((read.kind, read.is_exclusive), (LockKind::Lease, false));
    assert_eq!(
        lock(b"lock:\t1: DELEG  ACTIVE    READ 71 08:01:123 0 EOF"),
        None
    );
    assert_eq!(
        hexadecimal_field(b"eventfd-count:               1f\n", "eventfd-count:"),
        Some(31)
    );
    assert_eq!(
        octal_field(b"settime flags: 03\n", "settime flags:"),
        Some(3)
    );
}

#[test]
fn shared_mappings() {
    let line = b"7f00-7f02 r--s 00001000 00:01 1058                       /memfd:a b (deleted)";
    let found = shared_mapping(line).expect("it is shared");
    assert_eq!((found.offset, found.inode), (0x1000, 1058));
    assert_eq!((found.device, found.protection), ((0, 1), libc::PROT_READ));
    assert_eq!(found.path, b"/memfd:a b (deleted)");
    assert_eq!(
        shared_mapping(b"7f00-7f01 rw-p 00000000 00:00 0 [heap]"),
        None
    );
    assert_eq!(shared_mapping(b"7f00-7f01 rw-s"), None);
}

#[test]
fn flags_of_a_mapping() {
    let line = b"VmFlags: rd wr mr mw me dc ac lo";
    assert!(has_flag(line, b"dc") && has_flag(line, b"lo"));
    assert!(!has_flag(line, b"lf") && !has_flag(b"Locked: lo", b"lo"));
}

proptest! {
    #[test]
    fn a_call_that_is_written_is_read(
        number in 0_i64..1000, arguments: [u64; 6], stack: u64, program: u64
    ) {
        let mut text = number.to_string();
        for value in arguments.iter().chain([&stack, &program]) {
            text.push_str(&format!(" {value:#x}"));
        }
        text.push('\n');
        prop_assert_eq!(
            doing(text.as_bytes()),
            Some(Doing::Call(Call { number, arguments, stack, program }))
        );
    }

    #[test]
    fn a_time_that_is_written_is_read(ns in 0_u64..1 << 60) {
        let text = format!(
            "x (1, #threads: 1)\n---\nse.exec_start    :    {}.{:06}\nse.vruntime : 1\n",
            ns / 1_000_000, ns % 1_000_000
        );
        prop_assert_eq!(last_ran_ns(text.as_bytes()), Some(ns));
    }

    #[test]
    fn noise_is_no_panic(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        all_parsers(&noise);
    }

    #[test]
    fn a_text_cut_off_anywhere_is_no_panic(cut in 0_usize..400, flip in 0_usize..400, bit in 0_u8..8) {
        let mut text = b"ID: 2\nsignal: 34/0000000000001234\nnotify: signal/pid.71\nClockID: 0\n\
            7 (a) R (b)) S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0\nSigBlk:\t0001\nVmLck: 64 kB\n\
            7f00-7f01 rw-p 0 0\nVmFlags: rd wr\nse.exec_start : 12.000001\n\
            232 0x5 0x7ffd5c1c6b50 0x400 0xffffffff 0x0 0x8 0x7ffd5c1c6b38 0x7f1e2b0f6d16\n".to_vec();
        text.truncate(cut);
        if let Some(byte) = text.get_mut(flip) {
            *byte ^= 1 << bit;
        }
        all_parsers(&text);
    }
}

fn all_parsers(text: &[u8]) {
    let _ = doing(text);
    let _ = stat(text);
    let _ = last_ran_ns(text);
    let _ = last_loaded_ns(text);
    let _ = voluntary_switches(text);
    let _ = address_space_pages(text);
    let _ = signals(text, "SigBlk:");
    let _ = kilobytes(text, "VmLck:");
    assert!(timers(text).count() <= text.len());
    for line in text.split(|&byte| byte == b'\n') {
        let _ = mapping(line);
        let _ = interest(line);
        let _ = watch(line);
        let _ = lock(line);
        let _ = shared_mapping(line);
        let _ = has_flag(line, b"lo");
    }
}
