//! POSIX threads and C++ threads keep their promises over a revert: locks keep their owners,
//! waiters keep waiting, and a `pthread_t` finds its thread, although the kernel's number is new
//! and the C library remembers the old one.

mod cpp;
mod guest;
mod mutexes;
mod threads;
mod waiting;
