//! The Python package: by itself, in debuggers and in pytest, under the launcher and alone.

mod debuggers;
mod defects;
mod examples;
mod interpreter;
mod ipython;
mod notebooks;
mod pytest;
mod scenes;
mod undo;
