//! Following the program into another one: `exec` keeps the pid, so the session goes on,
//! but the new program has neither agent nor handlers unless they are carried along.
//! Wrapper scripts (`exec real-program "$@"`) would lose them otherwise, and the next
//! trigger signal would kill the program.
//!
//! The functions at the end stand before libc's. In the live process they add the agent
//! to the environment that is passed on, and the settings for huge pages if this program was
//! started with them; in any other process (a child that is about to become another program)
//! they change nothing.
//!
//! Limits: a system call that goes around libc is not seen. The agent is gone then, and what it
//! leaves behind is the trigger's default. The supervisor looks before it asks, and says so. In
//! a program that is static or set-uid the agent can't follow: the trigger stays blocked there,
//! which is harmless, and takes are refused.
//!
//! Context: AS-SAFE, since exec may be called from anywhere.

use core::arch::naked_asm;
use core::ffi::{c_char, c_int, c_long, c_void};
use core::iter;
use core::mem::{self, size_of};
use core::ptr;

use snapshot_core::kernel::tunables;
use snapshot_core::objects;
use snapshot_core::sys::{self, SignalSet};
use snapshot_core::threads::turn::Conversation;
use snapshot_core::wire::{FromAgent, FromSupervisor, link::Link};

use crate::dispositions::{self, Real};
use crate::environment::{ENVIRON, LETTER, PRELOAD, bytes_of};
use crate::{closes, errno, filters, handlers, session};

type Strings = *const *const c_char;

/// Memory for the environment that is passed on.
const ROOM: usize = 1 << 20;

/// A place to write strings and pointers one after the other.
struct Heap {
    start: *mut u8,
    used: usize,
}

impl Heap {
    fn new() -> Option<Self> {
        // SAFETY: a new anonymous mapping touches no memory in use.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                ROOM,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(Self {
            start: start.cast(),
            used: 0,
        })
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        if self.used + bytes.len() > ROOM {
            return None;
        }
        // SAFETY: `used` is within the mapping.
        let to = unsafe { self.start.add(self.used) };
        // SAFETY: there is room for all of it, and it is no part of the mapping.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        self.used += bytes.len();
        Some(())
    }

    /// Where the next `put` will write.
    fn next(&self) -> *mut u8 {
        // SAFETY: `used` is at most the mapping's length.
        unsafe { self.start.add(self.used) }
    }

    fn number(&mut self, mut number: u64, base: u32) -> Option<()> {
        let mut digits = [0_u8; 20];
        let mut first = digits.len();
        loop {
            first -= 1;
            let [digit, ..] = (number % u64::from(base)).to_le_bytes();
            digits[first] = if digit < 10 {
                b'0' + digit
            } else {
                b'a' + digit - 10
            };
            number /= u64::from(base);
            if number == 0 {
                break;
            }
        }
        self.put(&digits[first..])
    }

    fn pointer(&mut self, pointer: *const c_char) -> Option<()> {
        self.put(&pointer.expose_provenance().to_ne_bytes())
    }

    fn align(&mut self) {
        self.used = self.used.next_multiple_of(size_of::<usize>());
    }

    fn free(self) {
        // SAFETY: nothing uses the mapping any more when its owner is given up.
        unsafe { libc::munmap(self.start.cast::<c_void>(), ROOM) };
    }
}

/// The agent, ready to be carried: its descriptor, and the mask the program has.
struct Carried {
    fd: c_int,
    mask: SignalSet,
    heap: Heap,
    environment: Strings,
}

impl Carried {
    /// Gets the agent from the supervisor and writes an environment that loads it.
    fn prepare(environment: Strings) -> Option<Self> {
        let open = sys::block(SignalSet::PROGRAM);
        let fd = Self::fetch();
        sys::set_mask(open);
        let fd = fd?;
        let Some(mut heap) = Heap::new() else {
            sys::close(fd);
            return None;
        };
        // From here to the constructor of the next program a trigger waits.
        let mask = sys::block(session::trigger_set());
        match Self::write(&mut heap, environment, fd, mask) {
            Some(environment) if sys::keep_across_exec(fd).is_ok() => Some(Self {
                fd,
                mask,
                heap,
                environment,
            }),
            _ => {
                sys::set_mask(mask);
                sys::close(fd);
                heap.free();
                None
            }
        }
    }

    /// The agent's descriptor. No snapshot is taken meanwhile.
    fn fetch() -> Option<c_int> {
        let _conversation = Conversation::begin();
        let link = Link::connect(session::name()).ok()?;
        let answer = link.say(FromAgent::Exec).and_then(|()| link.hear());
        link.close();
        match answer {
            Ok((FromSupervisor::Carry, Some(fd))) => Some(fd),
            _ => None,
        }
    }

    fn write(heap: &mut Heap, environment: Strings, fd: c_int, mask: SignalSet) -> Option<Strings> {
        let fd = u64::from(fd.unsigned_abs());
        let settings = heap.next();
        let ours = if session::huge_pages() {
            tunables::add(entries(environment), |bytes| heap.put(bytes))?
        } else {
            0
        };
        heap.put(b"\0")?;
        let letter = heap.next();
        heap.put(LETTER)?;
        heap.number(fd, 10)?;
        heap.put(b",")?;
        heap.number(u64::from(session::trigger().unsigned_abs()), 10)?;
        heap.put(b",")?;
        heap.number(mask.0, 16)?;
        heap.put(b",")?;
        heap.number(u64::try_from(ours).ok()?, 10)?;
        heap.put(b",")?;
        // Nothing at all says that everything is, which is the way to err.
        for inherited in objects::inherited().into_iter().flatten() {
            heap.number(inherited.device, 16)?;
            heap.put(b":")?;
            heap.number(inherited.inode, 16)?;
            heap.put(b";")?;
        }
        heap.put(b",")?;
        heap.put(session::name())?;
        heap.put(b"\0")?;
        let preload = heap.next();
        heap.put(PRELOAD)?;
        heap.put(b"/proc/self/fd/")?;
        heap.number(fd, 10)?;
        for_each(environment, |entry| {
            if let Some(own) = entry_bytes(entry).strip_prefix(PRELOAD)
                && !own.is_empty()
            {
                heap.put(b":")?;
                heap.put(own)?;
            }
            Some(())
        })?;
        heap.put(b"\0")?;
        heap.align();
        let array = heap.next();
        heap.pointer(letter.cast())?;
        heap.pointer(preload.cast())?;
        if ours > 0 {
            heap.pointer(settings.cast())?;
        }
        let mut replaced = ours == 0;
        for_each(environment, |entry| {
            let bytes = entry_bytes(entry);
            if bytes.starts_with(PRELOAD) {
                return Some(());
            }
            if !replaced && bytes.starts_with(tunables::VARIABLE) {
                replaced = true;
                return Some(());
            }
            heap.pointer(entry)
        })?;
        heap.pointer(ptr::null())?;
        Some(array.cast::<*const c_char>().cast_const())
    }

    /// The exec has failed: the program is what it was.
    fn put_back(self) {
        sys::close(self.fd);
        sys::set_mask(self.mask);
        self.heap.free();
        // The supervisor waits for the next program's hello.
        let open = sys::block(SignalSet::PROGRAM);
        let _ = handlers::ask(FromAgent::Hello);
        sys::set_mask(open);
    }
}

fn entry_bytes<'a>(entry: *const c_char) -> &'a [u8] {
    // SAFETY: an entry of an environment is a C string, which stays until the exec.
    unsafe { bytes_of(entry) }
}

/// The bytes of every entry.
fn entries<'a>(environment: Strings) -> impl Iterator<Item = &'a [u8]> + Clone {
    let mut at = environment;
    iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: `at` is within the array, which ends with a null.
        let entry = unsafe { *at };
        if entry.is_null() {
            return None;
        }
        // SAFETY: the end has not been reached.
        at = unsafe { at.add(1) };
        Some(entry_bytes(entry))
    })
}

/// Every entry of a null-terminated array.
fn for_each(strings: Strings, mut visit: impl FnMut(*const c_char) -> Option<()>) -> Option<()> {
    if strings.is_null() {
        return Some(());
    }
    let mut at = strings;
    loop {
        // SAFETY: `at` is within the array, which ends with a null.
        let entry = unsafe { *at };
        if entry.is_null() {
            return Some(());
        }
        visit(entry)?;
        // SAFETY: the end has not been reached.
        at = unsafe { at.add(1) };
    }
}

fn environ() -> Strings {
    // SAFETY: libc's own variable; the program may not change it during an exec.
    unsafe { ENVIRON }.cast_const().cast()
}

/// Calls `exec` with an environment that carries the agent, where this is the live
/// process, or with the one given.
fn carrying(environment: Strings, exec: impl Fn(Strings) -> c_int) -> c_int {
    // Under a filter that forbids snapshots, the next program is under as well, the agent would
    // only be in the way: see there.
    if !session::is_live() || filters::forbid_snapshots() {
        return exec(environment);
    }
    // If the exec fails, snapshots have let go of it too early: its end comes with the live
    // process's own.
    closes::before_exec();
    let carried = Carried::prepare(environment);
    // Without the agent the trigger would end the next program.
    let mask = sys::block(session::trigger_set());
    dispositions::before_exec();
    let answer = exec(
        carried
            .as_ref()
            .map_or(environment, |carried| carried.environment),
    );
    // The exec has failed. Errno says why, and the calls below may change it.
    let errno = errno::get();
    dispositions::after_failed_exec();
    sys::set_mask(mask);
    if let Some(carried) = carried {
        carried.put_back();
    }
    errno::set(errno);
    answer
}

type Exec = unsafe extern "C" fn(*const c_char, Strings, Strings) -> c_int;

/// Calls libc's function of the `(what, arguments, environment)` kind.
fn call(real: &Real, what: *const c_char, arguments: Strings, environment: Strings) -> c_int {
    // SAFETY: a null address is `None`; any other is libc's function of this type.
    match unsafe { mem::transmute::<*mut c_void, Option<Exec>>(real.address()) } {
        // SAFETY: the program's own arguments, and an environment in the same form.
        Some(real) => unsafe { real(what, arguments, environment) },
        None => {
            errno::set(libc::ENOSYS);
            -1
        }
    }
}

static EXECVE: Real = Real::new(c"execve");
static EXECVPE: Real = Real::new(c"execvpe");

/// execve(2) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execve(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    carrying(environment, |environment| {
        call(&EXECVE, path, arguments, environment)
    })
}

/// execvpe(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvpe(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    carrying(environment, |environment| {
        call(&EXECVPE, file, arguments, environment)
    })
}

/// execv(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { execve(path, arguments, environ()) }
}

/// execvp(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { execvpe(file, arguments, environ()) }
}

/// fexecve(3) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fexecve(fd: c_int, arguments: Strings, environment: Strings) -> c_int {
    type Fexecve = unsafe extern "C" fn(c_int, Strings, Strings) -> c_int;
    static REAL: Real = Real::new(c"fexecve");
    carrying(environment, |environment| {
        // SAFETY: a null address is `None`; any other is libc's function of this type.
        match unsafe { mem::transmute::<*mut c_void, Option<Fexecve>>(REAL.address()) } {
            // SAFETY: the program's own arguments.
            Some(real) => unsafe { real(fd, arguments, environment) },
            None => -1,
        }
    })
}

type Execveat = unsafe extern "C" fn(c_int, *const c_char, Strings, Strings, c_int) -> c_int;

/// execveat(2) of the program.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn execveat(
    directory: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_int {
    static REAL: Real = Real::new(c"execveat");
    carrying(environment, |environment| {
        // SAFETY: a null address is `None`; any other is libc's function of this type.
        match unsafe { mem::transmute::<*mut c_void, Option<Execveat>>(REAL.address()) } {
            // SAFETY: the program's own arguments, and an environment in the same form.
            Some(real) => unsafe { real(directory, path, arguments, environment, flags) },
            None => {
                errno::set(libc::ENOSYS);
                -1
            }
        }
    })
}

/// `syscall(SYS_execve, ...)` of the program.
///
/// # Safety
/// As the call.
pub(crate) unsafe extern "C" fn by_number(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_long {
    // SAFETY: the caller's promise.
    c_long::from(unsafe { execve(path, arguments, environment) })
}

/// `syscall(SYS_execveat, ...)` of the program.
///
/// # Safety
/// As the call.
pub(crate) unsafe extern "C" fn at_by_number(
    directory: c_int,
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
    flags: c_int,
) -> c_long {
    // SAFETY: the caller's promise.
    c_long::from(unsafe { execveat(directory, path, arguments, environment, flags) })
}

// The variadic three. Rust can't define such functions, so a few instructions gather the
// arguments: five in registers, pushed so that they lie in order, and the rest where the
// caller has put them. The stack is aligned for the call: 8 bytes of return address and
// 40 pushed.
macro_rules! variadic {
    ($(#[$doc:meta])* $name:ident, $gather:ident) => {
        $(#[$doc])*
        ///
        /// # Safety
        /// As libc's.
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub unsafe extern "C" fn $name() {
            naked_asm!(
                "lea r10, [rsp + 8]",
                "push r9",
                "push r8",
                "push rcx",
                "push rdx",
                "push rsi",
                "mov rsi, rsp",
                "mov rdx, r10",
                "call {gather}",
                "add rsp, 40",
                "ret",
                gather = sym $gather,
            )
        }
    };
}

variadic!(
    /// execl(3) of the program.
    execl, gather_execl
);
variadic!(
    /// execlp(3) of the program.
    execlp, gather_execlp
);
variadic!(
    /// execle(3) of the program.
    execle, gather_execle
);

/// The arguments of a variadic call, up to the null, as an array; and what follows it.
///
/// # Safety
/// As laid out by the code above.
unsafe fn gather(
    heap: &mut Heap,
    in_registers: Strings,
    on_stack: Strings,
) -> Option<(Strings, Strings)> {
    let array = heap.next();
    let mut index = 0_usize;
    let mut argument = || {
        let at = if index < 5 {
            // SAFETY: five were pushed.
            unsafe { in_registers.add(index) }
        } else {
            // SAFETY: the caller has passed a null in the end, and we stop after it.
            unsafe { on_stack.add(index - 5) }
        };
        index += 1;
        // SAFETY: as above.
        unsafe { *at }
    };
    loop {
        let next = argument();
        heap.pointer(next)?;
        if next.is_null() {
            break;
        }
    }
    // Only `execle` has one; for the others this is a word that nobody looks at.
    let after = argument();
    Some((array.cast::<*const c_char>().cast_const(), after.cast()))
}

fn exec_gathered(
    in_registers: Strings,
    on_stack: Strings,
    exec: impl Fn(Strings, Strings) -> c_int,
) -> c_int {
    let Some(mut heap) = Heap::new() else {
        errno::set(libc::ENOMEM);
        return -1;
    };
    // SAFETY: laid out by the code above.
    let answer = match unsafe { gather(&mut heap, in_registers, on_stack) } {
        Some((arguments, after)) => exec(arguments, after),
        None => {
            errno::set(libc::E2BIG);
            -1
        }
    };
    heap.free();
    answer
}

/// # Safety
/// Called by the code above alone.
unsafe extern "C" fn gather_execl(
    path: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: a path and arguments as the program gave them.
    exec_gathered(registers, stack, |arguments, _| unsafe {
        execv(path, arguments)
    })
}

/// # Safety
/// As above.
unsafe extern "C" fn gather_execlp(
    file: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    // SAFETY: as above.
    exec_gathered(registers, stack, |arguments, _| unsafe {
        execvp(file, arguments)
    })
}

/// # Safety
/// As above.
unsafe extern "C" fn gather_execle(
    path: *const c_char,
    registers: Strings,
    stack: Strings,
) -> c_int {
    exec_gathered(registers, stack, |arguments, environment| {
        // SAFETY: as above.
        unsafe { execve(path, arguments, environment) }
    })
}
