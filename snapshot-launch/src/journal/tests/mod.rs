//! Tests of the undo log as a whole, on real files: by a small program that does what the
//! journal does for a program.

mod chance;
mod corners;
mod cut;
mod outsiders;
mod own_process;
mod program;
mod random;
mod speed;
mod stops;
mod tree;
