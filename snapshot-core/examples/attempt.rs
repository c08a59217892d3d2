//! `attempt` is a transaction over the whole program: it stays if it succeeds, and is undone if it fails
//! in any way.
//!
//! Prints:
//! ```text
//! Ok(3), and the accounts are [70, 30]
//! the attempt was undone: there is not enough money, and the accounts are [70, 30]
//! the attempt was undone: its branch was killed by SIGABRT, and the accounts are [70, 30]
//! ```

use snapshot_core::attempt;

fn main() {
    let mut accounts = [100, 0];
    let done = attempt(|| {
        transfer(&mut accounts, 30)?;
        Ok::<_, String>(1 + 2)
    });
    println!("{done:?}, and the accounts are {accounts:?}");
    if let Err(error) = attempt(|| transfer(&mut accounts, 300)) {
        println!("{error}, and the accounts are {accounts:?}");
    }
    let crashed = attempt(|| {
        accounts = [0, 0];
        std::process::abort();
        #[expect(unreachable_code, reason = "the type of its error")]
        Ok::<(), String>(())
    });
    if let Err(error) = crashed {
        println!("{error}, and the accounts are {accounts:?}");
    }
}

fn transfer(accounts: &mut [i64; 2], amount: i64) -> Result<(), String> {
    // It fails too late: the other account has the money already.
    accounts[1] += amount;
    if accounts[0] < amount {
        return Err("there is not enough money".into());
    }
    accounts[0] -= amount;
    Ok(())
}
