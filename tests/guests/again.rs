//! Guest: copies that go back. Each run first compares all memory that the program can write, the end of its
//! heap and the way it rounds, with what the first run of the same process has found. Then it changes what it
//! can, and ends somehow.
//!
//! `again COUNT SEED` says how many processes have made the runs. A run that finds a difference ends with 99.
#![expect(unsafe_code, reason = "compares memory, and crashes on purpose")]

use std::arch::asm;
use std::ffi::c_void;
use std::fs;
use std::hint::black_box;
use std::io::Read;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::ptr;

use snapshot_core::{Ended, try_each};

/// The number of a file with 200 bytes, 0, 1, 2 and so on.
const FILE: i32 = 100;

/// In memory that all processes share, so nothing undoes it.
struct Log {
    process: i32,
    processes: u32,
    heap_end: usize,
    rounding: u32,
}

/// A part of the program's memory, and where its contents are kept.
struct Part {
    start: usize,
    length: usize,
    kept: usize,
}

/// How a run ends.
#[derive(Clone, Copy)]
enum Way {
    Return,
    Exit,
    ProcessExit,
    Panic,
    Abort,
    Fault,
    Overflow,
}

/// What a run does before.
#[derive(Clone, Copy)]
enum Deed {
    Write,
    Leak,
    Map,
    Recurse,
    Round,
    Read,
    /// It does something that can't be undone: from there on its process is an ordinary copy.
    Leave(u64),
}

#[derive(Clone, Copy)]
struct Input {
    deed: Deed,
    way: Way,
    random: u64,
}

fn next(random: &mut u64) -> u64 {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    *random
}

fn inputs(count: usize, mut random: u64) -> Vec<Input> {
    let mut input = |_| {
        let deed = match next(&mut random) % 24 {
            0..8 => Deed::Write,
            8..13 => Deed::Leak,
            13..17 => Deed::Map,
            17..20 => Deed::Recurse,
            20 => Deed::Round,
            21..23 => Deed::Read,
            _ => Deed::Leave(next(&mut random) % 6),
        };
        let way = match next(&mut random) % 64 {
            0..52 => Way::Return,
            52..58 => Way::Exit,
            58 => Way::ProcessExit,
            59..61 => Way::Panic,
            61 => Way::Abort,
            62 => Way::Fault,
            _ => Way::Overflow,
        };
        Input {
            deed,
            way,
            random: next(&mut random),
        }
    };
    (0..count).map(&mut input).collect()
}

fn wanted(input: &Input) -> Ended {
    match input.way {
        Way::Return => Ended::Exited(0),
        Way::Exit => Ended::Exited((input.random % 90) as i32),
        Way::ProcessExit => Ended::Exited(7),
        Way::Panic => Ended::Exited(101),
        Way::Abort | Way::Overflow => Ended::Killed(libc::SIGABRT),
        Way::Fault => Ended::Killed(libc::SIGSEGV),
    }
}

fn shared(bytes: usize) -> usize {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: new memory.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    assert!(memory != libc::MAP_FAILED, "there is memory");
    memory.expose_provenance()
}

/// All private memory that can be written, of the stack only what is above `frame`.
fn parts(frame: usize) -> Vec<Part> {
    // They hold what is made below, so they must be on the list already.
    let mut parts = Vec::with_capacity(1000);
    let maps = fs::read_to_string("/proc/self/maps").expect("it is there");
    for line in maps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (range, rights) = (
            words.next().expect("a range"),
            words.next().expect("rights"),
        );
        if !(rights.starts_with("rw") && rights.ends_with('p')) {
            continue;
        }
        let (start, end) = range.split_once('-').expect("two addresses");
        let address = |text| usize::from_str_radix(text, 16).expect("an address");
        let (mut start, end) = (address(start), address(end));
        if (start..end).contains(&frame) {
            start = frame;
        }
        parts.push(Part {
            start,
            length: end - start,
            kept: 0,
        });
    }
    parts
}

/// The kernel writes here which processor the thread is on.
fn restartable() -> usize {
    // SAFETY: asks for a variable of the C library's.
    let offset = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"__rseq_offset".as_ptr()) };
    if offset.is_null() {
        return 0;
    }
    let base: usize;
    // SAFETY: reads the thread's own address.
    unsafe { asm!("mov {}, fs:0", out(reg) base) };
    // SAFETY: it is such a number.
    base.wrapping_add_signed(unsafe { offset.cast::<isize>().read() })
}

fn heap_end() -> usize {
    // SAFETY: asks.
    let end = unsafe { libc::syscall(libc::SYS_brk, 0) };
    usize::try_from(end).expect("an address")
}

fn rounding() -> u32 {
    let mut control = 0_u32;
    // SAFETY: writes the word.
    unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut control) };
    // Without the marks of errors that have been.
    control & !0x3f
}

fn round_up() {
    let control = rounding() | 0x4000;
    // SAFETY: another way to round.
    unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const control) };
}

/// Whether memory differs from what the first run of this process has found; the address.
fn difference(parts: &[Part], except: usize, is_first: bool) -> Option<usize> {
    let at = |address: usize| ptr::with_exposed_provenance_mut::<c_void>(address);
    for part in parts {
        let ends = [part.start + part.length, except, except + 32];
        // The part, or what is before and behind the exception.
        let pieces = if (part.start..ends[0]).contains(&except) {
            [(part.start, except), (except + 32, ends[0])]
        } else {
            [(part.start, ends[0]), (0, 0)]
        };
        for (start, end) in pieces {
            let (now, kept) = (at(start), at(part.kept + start.saturating_sub(part.start)));
            if is_first {
                // SAFETY: both are memory of that length.
                unsafe { libc::memcpy(kept, now, end - start) };
            // SAFETY: as above.
            } else if unsafe { libc::memcmp(kept, now, end - start) } != 0 {
                return Some(start);
            }
        }
    }
    None
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let room = black_box([depth; 100]);
    match depth {
        0 => room[7],
        _ => recurse(depth - 1) + room[3],
    }
}

#[expect(unconditional_recursion, reason = "it overflows the stack")]
#[inline(never)]
fn overflow(depth: u64) -> u64 {
    let room = black_box([depth; 100]);
    overflow(depth + 1) + room[3]
}

fn do_deed(input: &Input, words: &mut [u64]) {
    let random = input.random;
    match input.deed {
        Deed::Write => {
            let mut random = random;
            for _ in 0..random % 40 {
                let index = next(&mut random) % words.len() as u64;
                words[usize::try_from(index).expect("an index")] += 1;
            }
        }
        Deed::Leak => {
            for size in [24, 3000, 70_000] {
                Vec::leak(vec![7_u8; size + (random % 4096) as usize]);
            }
        }
        Deed::Map => {
            let mut large = vec![1_u8; 200_000 + (random % 1_000_000) as usize];
            large.resize(large.len() * 2, 2);
            if random.is_multiple_of(2) {
                large.leak();
            }
        }
        Deed::Recurse => {
            black_box(recurse(random % 3000));
        }
        Deed::Round => round_up(),
        Deed::Read => {
            let mut bytes = vec![0; (random % 100) as usize];
            let mut file = file();
            let read = file.read(&mut bytes).expect("it is open");
            assert_eq!(read, bytes.len());
            assert!(bytes.iter().zip(0..).all(|(byte, wanted)| *byte == wanted));
        }
        Deed::Leave(how) => leave(how),
    }
}

/// The file that is open before the first run, at its beginning.
fn file() -> ManuallyDrop<fs::File> {
    // SAFETY: it stays open.
    ManuallyDrop::new(unsafe { fs::File::from_raw_fd(FILE) })
}

fn open_file() {
    let bytes: Vec<u8> = (0..200).collect();
    fs::write("read", bytes).expect("the directory is ours");
    let opened = fs::File::open("read").expect("it was made").into_raw_fd();
    // SAFETY: takes numbers.
    assert_eq!(unsafe { libc::dup2(opened, FILE) }, FILE);
}

fn leave(how: u64) {
    match how {
        0 => drop(fs::File::open("/dev/null").expect("it is there")),
        1 => drop(std::thread::spawn(|| 3).join()),
        2 => drop(std::process::Command::new("true").status()),
        3 => {
            // SAFETY: as it is by default.
            unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        }
        4 => println!("a run prints"),
        _ => std::env::set_current_dir("/").expect("it is there"),
    }
}

fn end(input: &Input) {
    match input.way {
        Way::Return => {}
        // SAFETY: ends the process.
        Way::Exit => unsafe { libc::exit((input.random % 90) as i32) },
        Way::ProcessExit => std::process::exit(7),
        Way::Panic => panic!("meant"),
        Way::Abort => std::process::abort(),
        Way::Fault => {
            let nowhere: *mut u8 = ptr::without_provenance_mut(8);
            // SAFETY: none: it is meant to crash.
            unsafe { nowhere.write_volatile(1) };
        }
        Way::Overflow => drop(black_box(overflow(1))),
    }
}

/// Memory that another process has as well is not undone. That one is this process: it makes a child, and
/// the child returns.
fn share(bytes: usize) -> usize {
    let memory = shared(bytes);
    // SAFETY: there is one thread.
    let child = unsafe { libc::fork() };
    if child == 0 {
        return memory;
    }
    let mut status = 0;
    // SAFETY: writes the status.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    std::process::exit(if status == 0 { 0 } else { 1 });
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let count = arguments[1].parse().expect("a number");
    let seed: u64 = arguments[2].parse().expect("a number");
    std::panic::set_hook(Box::new(|_| {}));
    open_file();
    let inputs = inputs(count, seed | 1);
    let mut words = vec![0_u64; 200_000];
    let frame = ptr::from_ref(&words).addr();
    let mut parts = parts(frame);
    let except = restartable();
    let bytes: usize = parts.iter().map(|part| part.length).sum();
    let memory = share(bytes + size_of::<Log>());
    // SAFETY: zeroed, and of this type.
    let log: &mut Log = unsafe { &mut *ptr::with_exposed_provenance_mut(memory) };
    let mut kept = memory + size_of::<Log>();
    for part in &mut parts {
        part.kept = kept;
        kept += part.length;
    }
    let ends = try_each(&inputs, |input| {
        let process = std::process::id().cast_signed();
        let is_first = log.process != process;
        let differs = difference(&parts, except, is_first);
        if is_first {
            log.process = process;
            log.processes += 1;
            (log.heap_end, log.rounding) = (heap_end(), rounding());
        }
        if differs.is_some() || log.heap_end != heap_end() || log.rounding != rounding() {
            eprintln!("differs: {differs:x?} {:x} {:x}", heap_end(), rounding());
            // SAFETY: ends the process.
            unsafe { libc::_exit(99) };
        }
        do_deed(input, &mut words);
        end(input);
    });
    let ends = ends.expect("it can be copied");
    assert_eq!(ends.len(), inputs.len());
    for (number, (end, input)) in ends.iter().zip(&inputs).enumerate() {
        assert_eq!(*end, wanted(input), "run {number}");
    }
    println!("{} runs by {} processes", ends.len(), log.processes);
}
