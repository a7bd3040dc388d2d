//! todo
#[derive(Debug, Default, clap::Args)]
pub struct Arguments {}
pub fn run(_: &Arguments) -> crate::error::Result<()> {
    Ok(())
}
