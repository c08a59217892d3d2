//! Guest: draws from the random generators of a process, in two branches from the same state, and prints for
//! each whether they drew the same.
//!
//! `randomness plain` does nothing about it, `randomness reseeds` has the library reseed after each revert,
//! and `randomness hooks` seeds its own generators, as docs/library.md says. `randomness kept` waits: it is
//! `plain`, and `draw` on stdin draws.
#![expect(unsafe_code, reason = "draws from C libraries")]

use std::cell::Cell;
use std::ffi::{CStr, c_int, c_void};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rand_with_fork_check::RngCore as _;
use snapshot_core::{
    Arrival, SnapshotError, on_revert, reason_for, reseeds, revert_with, reverts, snapshot,
};

static OWN: LazyLock<Mutex<StdRng>> = LazyLock::new(|| Mutex::new(StdRng::seed_from_u64(1)));

fn main() -> Result<(), SnapshotError> {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let generators = Generators::new(mode == "hooks");
    // Each has been seeded.
    generators.draw();
    match mode.as_str() {
        "reseeds" => reseeds(true)?,
        "hooks" => {
            on_revert(|| {
                let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
                *own = rand::make_rng();
                // Of this thread, which takes the snapshots.
                rand::rng().reseed().expect("the kernel has a seed");
            })?;
        }
        _ => {}
    }
    if mode == "kept" {
        println!("ready");
        for line in std::io::stdin().lines() {
            assert_eq!(line.expect("stdin is text"), "draw");
            println!("ok {}", words(&generators.draw()));
        }
        return Ok(());
    }
    let first = branch(&generators)?;
    let second = branch(&generators)?;
    for ((name, first), second) in NAMES.iter().zip(first.split(' ')).zip(second.split(' ')) {
        let verdict = match (first, second) {
            ("none", _) => "none",
            _ if first == second => "same",
            _ => "differs",
        };
        println!("{name} {verdict}");
    }
    Ok(())
}

/// What a branch from here draws.
fn branch(generators: &Generators) -> Result<String, SnapshotError> {
    match snapshot()? {
        Arrival::Live(id) => match revert_with(id, &words(&generators.draw()))? {},
        Arrival::Reverted(report) => Ok(reason_for(report.id).unwrap_or_default()),
    }
}

const NAMES: [&str; 10] = [
    "getrandom",
    "arc4random",
    "wiped_memory",
    "random",
    "openssl",
    "openssl_elsewhere",
    "rand_0.8_thread_rng",
    "rand_thread_rng",
    "rand_thread_rng_elsewhere",
    "rand_std_rng",
];

type Drawn = [Option<u64>; NAMES.len()];

fn words(drawn: &Drawn) -> String {
    let words = drawn.map(|drawn| drawn.map_or("none".to_owned(), |drawn| format!("{drawn:x}")));
    words.join(" ")
}

struct Generators {
    arc4random: Option<Arc4Random>,
    wiped: WipedMemory,
    openssl: Option<RandBytes>,
    elsewhere: Elsewhere,
}

impl Generators {
    fn new(looks_for_reverts: bool) -> Self {
        let openssl = openssl();
        Self {
            // glibc 2.36.
            arc4random: symbol(libc::RTLD_DEFAULT, c"arc4random_buf").map(|function| {
                // SAFETY: that is its signature.
                unsafe { std::mem::transmute::<*mut c_void, Arc4Random>(function) }
            }),
            wiped: WipedMemory::new(),
            openssl,
            elsewhere: Elsewhere::start(looks_for_reverts, openssl),
        }
    }

    fn draw(&self) -> Drawn {
        let mut own = OWN.lock().unwrap_or_else(PoisonError::into_inner);
        let from_there = self.elsewhere.draw();
        [
            Some(from_kernel()),
            self.arc4random.map(|draw| {
                let mut drawn = 0_u64;
                // SAFETY: it fills so many bytes.
                unsafe { draw((&raw mut drawn).cast(), 8) };
                drawn
            }),
            Some(self.wiped.draw()),
            // SAFETY: has no conditions. It gives 31 bits.
            Some(unsafe { random() }.cast_unsigned()),
            self.openssl.map(from_openssl),
            from_there.1,
            Some(rand_with_fork_check::thread_rng().next_u64()),
            Some(rand::rng().next_u64()),
            Some(from_there.0),
            Some(own.next_u64()),
        ]
    }
}

type Arc4Random = unsafe extern "C" fn(*mut c_void, usize);
type RandBytes = unsafe extern "C" fn(*mut u8, c_int) -> c_int;

unsafe extern "C" {
    fn random() -> i64;
}

fn symbol(library: *mut c_void, name: &CStr) -> Option<*mut c_void> {
    // SAFETY: the handle is open, and the name NUL-terminated.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// As Python's modules have it: its names are not the process's.
fn openssl() -> Option<RandBytes> {
    let flags = libc::RTLD_NOW | libc::RTLD_LOCAL;
    // SAFETY: its initialisers run, as in any program that is linked with it.
    let library = unsafe { libc::dlopen(c"libcrypto.so.3".as_ptr(), flags) };
    if library.is_null() {
        return None;
    }
    let function = symbol(library, c"RAND_bytes")?;
    // SAFETY: that is its signature.
    Some(unsafe { std::mem::transmute::<*mut c_void, RandBytes>(function) })
}

fn from_kernel() -> u64 {
    let mut drawn = 0_u64;
    // SAFETY: it fills so many bytes.
    let got = unsafe { libc::getrandom((&raw mut drawn).cast(), 8, 0) };
    assert_eq!(got, 8, "the kernel has random numbers");
    drawn
}

fn from_openssl(draw: RandBytes) -> u64 {
    let mut drawn = 0_u64;
    // SAFETY: it fills so many bytes.
    assert_eq!(unsafe { draw((&raw mut drawn).cast(), 8) }, 1);
    drawn
}

/// A generator that knows a copy by a page that is wiped in it, as BoringSSL's does.
struct WipedMemory {
    /// 1, and 0 in a copy.
    page: *mut u64,
    state: Cell<u64>,
}

impl WipedMemory {
    fn new() -> Self {
        const PAGE: usize = 4096;
        let (protection, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: the kernel chooses a free place.
        let page = unsafe { libc::mmap(std::ptr::null_mut(), PAGE, protection, flags, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED, "there is memory");
        // SAFETY: the page is this program's, and new.
        let marked = unsafe { libc::madvise(page, PAGE, libc::MADV_WIPEONFORK) };
        assert_eq!(marked, 0, "the kernel knows this advice");
        Self {
            page: page.cast(),
            state: Cell::new(0),
        }
    }

    fn draw(&self) -> u64 {
        // SAFETY: mapped above, and this thread's alone.
        if unsafe { self.page.read_volatile() } == 0 {
            self.state.set(from_kernel());
            // SAFETY: as above.
            unsafe { self.page.write_volatile(1) };
        }
        self.state.set(
            self.state
                .get()
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1),
        );
        self.state.get()
    }
}

/// The generators of another thread: `rand`'s, and OpenSSL's.
struct Elsewhere {
    asked: Sender<()>,
    drawn: Mutex<Receiver<(u64, Option<u64>)>>,
}

impl Elsewhere {
    fn start(looks_for_reverts: bool, openssl: Option<RandBytes>) -> Self {
        let (asked, asks) = channel();
        let (draws, drawn) = channel();
        std::thread::spawn(move || {
            let mut seeded_at = 0;
            for () in asks {
                let mut generator = rand::rng();
                if looks_for_reverts {
                    let reverts = reverts().expect("the library is there");
                    if std::mem::replace(&mut seeded_at, reverts) != reverts {
                        generator.reseed().expect("the kernel has a seed");
                    }
                }
                let drawn = (generator.next_u64(), openssl.map(from_openssl));
                if draws.send(drawn).is_err() {
                    return;
                }
            }
        });
        Self {
            asked,
            drawn: Mutex::new(drawn),
        }
    }

    fn draw(&self) -> (u64, Option<u64>) {
        self.asked.send(()).expect("the thread is there");
        let drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        drawn.recv().expect("the thread answers")
    }
}
