//! What a program has besides memory and threads: descriptors, shared memory, children.

mod children;
mod cpu_clocks;
mod event_loops;
mod holders;
mod last_close;
mod objects;
mod objects_live;
mod objects_shared;
mod possessions;
mod sockets;
mod streams;
mod transfers;
mod wiped;
