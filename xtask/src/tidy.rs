//! todo
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {}
pub fn run() -> crate::error::Result<()> {
    Ok(())
}
