//! Threads: each comes back where it was, in any call.

mod odd_threads;
mod own_rseq;
mod pthreads;
mod restarts;
mod thread_triggers;
mod threaded_programs;
mod threaded_runtimes;
mod traces;
mod uninterrupted;
