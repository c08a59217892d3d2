//! Guest: threads that allocate and free across each other, on jemalloc, with caches in
//! thread-local memory and, if its settings ask for them, threads in the background.

mod blocks;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    blocks::run()
}
