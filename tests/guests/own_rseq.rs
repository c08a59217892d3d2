//! Guest: registers an area of restartable sequences itself, after telling libc to leave that
//! alone. Says `registered` or why it could not, and waits for stdin's end.
#![expect(unsafe_code, reason = "makes a call that libc keeps to itself")]

use nix::errno::Errno;

#[repr(C, align(32))]
struct Area([u8; 32]);

static mut AREA: Area = Area([0; 32]);

fn main() {
    const SIGNATURE: u32 = 0x5305_3053;
    let area = &raw mut AREA;
    // SAFETY: the area is this thread's, and stays as long as it lives.
    let answer = unsafe { libc::syscall(libc::SYS_rseq, area, 32, 0, SIGNATURE) };
    match answer {
        0 => println!("registered"),
        _ => println!("{:?}", Errno::last()),
    }
    for _ in std::io::stdin().lines() {}
}
