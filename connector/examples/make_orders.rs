//! Writes the demo's 10,000 orders to a file: to `testdata/orders.jsonl`, or to the path given.
//!
//!     cargo run -p ottla-connector --example make_orders [PATH]

use std::path::PathBuf;

#[path = "../src/orders.rs"]
mod orders;

fn main() -> std::io::Result<()> {
    let shipped = || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/orders.jsonl"));
    let path = std::env::args_os().nth(1).map_or_else(shipped, PathBuf::from);
    std::fs::write(&path, orders::orders())?;
    eprintln!("{} orders written to {}", orders::ORDERS, path.display());
    Ok(())
}
