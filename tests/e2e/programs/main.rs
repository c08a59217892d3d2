//! Real programs, and how programs start and exec others.

mod exec;
mod fuzzers;
mod huge_pages;
mod installed_programs;
mod preload;
mod real_programs;
mod redis_under_load;
mod sqlite_on_disk;
