//! Where libc keeps what it registers with the kernel for a thread. This is found at the start
//! by asking both, and never assumed.
//!
//! If the two don't agree, threads can't be made again, and takes with more than one are
//! refused.
//!
//! Context: [`discover`] is IN-PROCESS; the rest is AS-SAFE.
#![expect(unsafe_code, reason = "looks libc's variables up, and reads them")]

use crate::terms::Disagreement;
use core::ffi::CStr;
use core::sync::atomic::{AtomicIsize, AtomicU32, AtomicUsize, Ordering};

use crate::arch::{self, SegmentBases};
use crate::sys::{self, Errno};

/// Not looked yet.
const UNKNOWN: u32 = 0;
/// libc and the kernel agree.
const AGREED: u32 = 1;

/// UNKNOWN, AGREED, or 2 and more: what they disagree on.
static VERDICT: AtomicU32 = AtomicU32::new(UNKNOWN);
/// From a thread's FS base to its restartable sequences' area.
static RSEQ_OFFSET: AtomicIsize = AtomicIsize::new(0);
/// The length that area is registered with; 0 if libc registers none.
static RSEQ_LENGTH: AtomicUsize = AtomicUsize::new(0);
/// From a thread's FS base to the word that the kernel clears at its end, which is libc's
/// cached tid.
static TID_OFFSET: AtomicUsize = AtomicUsize::new(0);

/// libc's structure of a thread begins at the FS base and is shorter than this.
const THREAD_BYTES: usize = 0x4000;

/// Looks at the calling thread, once a process: before the first take, and not in a copy.
pub fn discover() {
    if VERDICT.load(Ordering::Acquire) == UNKNOWN {
        let verdict = match look() {
            Ok(()) => AGREED,
            Err(disagreement) => disagreement as u32,
        };
        VERDICT.store(verdict, Ordering::Release);
    }
}

/// What libc and the kernel disagree on, if anything.
pub(crate) fn disagreement() -> Option<Disagreement> {
    match VERDICT.load(Ordering::Acquire) {
        AGREED => None,
        UNKNOWN => Some(Disagreement::Base),
        other => Disagreement::from_number(other),
    }
}

/// Reads a word of the thread's own memory.
///
/// # Safety
/// The calling thread must be able to read a `T` there.
unsafe fn read<T: Copy>(address: usize) -> T {
    // SAFETY: the caller's promise.
    unsafe { core::ptr::with_exposed_provenance::<T>(address).read_volatile() }
}

/// The value of libc's variable of this name, if there is one.
fn variable<T: Copy>(name: &CStr) -> Option<T> {
    // SAFETY: a NUL-terminated name, as a CStr is.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    // SAFETY: a variable of libc's of this type, by its documented name.
    (!address.is_null()).then(|| unsafe { address.cast::<T>().read() })
}

fn look() -> Result<(), Disagreement> {
    if arch::has_shadow_stack() {
        return Err(Disagreement::ShadowStack);
    }
    let base = SegmentBases::of_this_thread().fs;
    // SAFETY: pthread_self takes nothing and gives an opaque number, which is the address
    // of libc's structure.
    let own = unsafe { libc::pthread_self() };
    if own as u64 != base as u64 {
        return Err(Disagreement::Base);
    }

    let address = sys::tid_address().map_err(|_| Disagreement::Tid)?;
    let offset = address.wrapping_sub(base);
    // SAFETY: checked first to lie within libc's structure of this thread.
    if offset >= THREAD_BYTES || unsafe { read::<i32>(address) } != sys::gettid() {
        return Err(Disagreement::Tid);
    }
    // What libc shows debuggers: size in bits, number of elements, offset.
    if let Some([bits, _, known]) = variable::<[u32; 3]>(c"_thread_db_pthread_tid")
        && (bits != 32 || known as usize != offset)
    {
        return Err(Disagreement::Tid);
    }
    TID_OFFSET.store(offset, Ordering::Relaxed);

    let (head, length) = sys::robust_list().map_err(|_| Disagreement::RobustList)?;
    if length != 24 || head.wrapping_sub(base) >= THREAD_BYTES {
        return Err(Disagreement::RobustList);
    }

    // glibc 2.35 and newer.
    let (Some(offset), Some(size)) = (
        variable::<isize>(c"__rseq_offset"),
        variable::<u32>(c"__rseq_size"),
    ) else {
        return Ok(());
    };
    if size == 0 {
        return Ok(());
    }
    RSEQ_OFFSET.store(offset, Ordering::Relaxed);
    let area = base.wrapping_add_signed(offset);
    let length = registered_length(area, size as usize).ok_or(Disagreement::Rseq)?;
    RSEQ_LENGTH.store(length, Ordering::Relaxed);
    Ok(())
}

/// The registered length of the calling thread's area. Only for that length does the kernel say
/// that the area is registered already.
fn registered_length(area: usize, size: usize) -> Option<usize> {
    const AT_RSEQ_FEATURE_SIZE: u64 = 27;
    const AT_RSEQ_ALIGN: u64 = 28;
    // SAFETY: getauxval takes a number.
    let feature = unsafe { libc::getauxval(AT_RSEQ_FEATURE_SIZE) };
    // SAFETY: as above.
    let align = unsafe { libc::getauxval(AT_RSEQ_ALIGN) };
    let feature = usize::try_from(feature).unwrap_or(0);
    let align = usize::try_from(align).unwrap_or(0).max(1);
    if !is_registered(area) {
        return None;
    }
    [32, feature.next_multiple_of(align), size, feature.max(32)]
        .into_iter()
        .filter(|&length| length >= 32)
        // SAFETY: the area is registered, so the kernel refuses, and says why.
        .find(|&length| unsafe { sys::register_rseq(area, length) } == Err(Errno(libc::EBUSY)))
}

/// Whether a thread's area is registered: then it holds the processor's number, and before that
/// a negative one.
fn is_registered(area: usize) -> bool {
    // SAFETY: libc has an area of at least 32 bytes there for every thread.
    let processor = unsafe { read::<i32>(area + 4) };
    processor >= 0
}

/// Whether a thread is libc's, by its FS base and the address where the kernel clears its id. A
/// thread that a runtime has made by itself has another structure there, or none.
pub(crate) fn is_of_libc(base: usize, tid_address: usize) -> bool {
    cached_tid_address(base) == Some(tid_address)
}

/// The registered area of a thread; 0 if there is none.
pub(crate) fn rseq_of(base: usize, tid_address: usize) -> usize {
    if RSEQ_LENGTH.load(Ordering::Relaxed) == 0 || !is_of_libc(base, tid_address) {
        return 0;
    }
    let area = base.wrapping_add_signed(RSEQ_OFFSET.load(Ordering::Relaxed));
    if is_registered(area) { area } else { 0 }
}

/// Whether the calling thread has an area that libc doesn't know. `of_libc` is what [`rseq_of`]
/// returns.
pub(crate) fn has_own_rseq(of_libc: usize) -> bool {
    #[repr(C, align(32))]
    struct Area([u8; 32]);
    if of_libc != 0 {
        return false;
    }
    // The kernel doesn't say where an area is, only that there is one.
    let mut area = Area([0; 32]);
    let address = (&raw mut area).expose_provenance();
    // SAFETY: it is registered until the next line at the longest, with all signals
    // blocked.
    match unsafe { sys::register_rseq(address, 32) } {
        Ok(()) => {
            let _ = sys::unregister_rseq(address, 32);
            false
        }
        Err(Errno(libc::EINVAL | libc::EPERM | libc::EBUSY)) => true,
        // A kernel without restartable sequences, or a filter.
        Err(_) => false,
    }
}

/// The length that areas are registered with.
pub(crate) fn rseq_length() -> usize {
    RSEQ_LENGTH.load(Ordering::Relaxed)
}

/// Where libc caches the tid of the thread with this handle; `None` if unknown.
pub fn cached_tid_address(thread: usize) -> Option<usize> {
    let offset = TID_OFFSET.load(Ordering::Relaxed);
    (offset != 0 && VERDICT.load(Ordering::Acquire) == AGREED).then(|| thread + offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libc_and_the_kernel_agree_here() {
        // In a thread of its own: it must look like any other.
        discover();
        assert_eq!(disagreement(), None);
        let base = SegmentBases::of_this_thread().fs;
        let address = cached_tid_address(base).expect("it was found out");
        // SAFETY: it was checked to be this word.
        assert_eq!(unsafe { read::<i32>(address) }, sys::gettid());
        assert!(is_of_libc(base, address));
        assert!(rseq_of(base, address) != 0 || rseq_length() == 0);
        assert_eq!(rseq_of(base, 0), 0, "not libc's");
    }
}
