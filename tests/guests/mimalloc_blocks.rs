//! Guest: threads that allocate and free across each other, on mimalloc, which gives
//! each thread a heap and collects what others have freed without a lock.

mod blocks;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    blocks::run()
}
