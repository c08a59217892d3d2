//! What POSIX threads and the threads of C++ promise, kept over a revert: locks keep
//! their owners, waiters keep waiting, and whoever is named by its `pthread_t` is found,
//! although the kernel's number of it is new while the C library remembers the old one.

mod cpp;
mod guest;
mod mutexes;
mod threads;
mod waiting;
