//! `signout copy`: copies revocations from one store to another.

use std::io::IsTerminal;

use clap::Args;
use signout::copy::{Copied, copy};

use super::CommandError;
use super::store_address::{RedisOptions, StoreAddress};

/// Copy all revocations from one store to another.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Copy {
    /// The store to read: `redb:PATH`, or the address of a Redis as in `serve --store`.
    #[arg(long, value_name = "STORE")]
    from: String,
    /// The store to which the revocations are added. It keeps its own revocations.
    #[arg(long, value_name = "STORE")]
    to: String,
    #[command(flatten)]
    redis: RedisOptions,
}

impl Copy {
    /// Copies, reads the target again, and prints the result.
    pub(super) fn run(self) -> Result<(), CommandError> {
        let (from, to) = (StoreAddress::of(&self.from)?, StoreAddress::of(&self.to)?);
        if let StoreAddress::Redb(path) = &from
            && !path.exists()
        {
            let path = path.display();
            return Err(CommandError::Usage(format!("--from {path}: there is no such file")));
        }
        if from.is(&to) {
            return Err(CommandError::Usage("--from and --to are the same store".to_owned()));
        }
        let (mut from, mut to) = (from.open(&self.redis, None)?, to.open(&self.redis, None)?);
        let shows = std::io::stderr().is_terminal();
        let mut progress = |done: usize, all: usize| {
            if shows || done == all {
                let ending = if shows && done < all { '\r' } else { '\n' };
                eprint!("{done} of {all} revocations{ending}");
            }
        };
        let Copied { read, added } = copy(from.as_mut(), to.as_mut(), &mut progress)
            .map_err(|error| CommandError::Refused(format!("not everything is copied: {error}")))?;
        println!("{read} revocations read, {added} added; the target holds all of them");
        Ok(())
    }
}

const EXAMPLES: &str = "\
Stop the service of a redb store first: only one process can open the file. A Redis may be in use, as
source or as target. Copying again is harmless, and adds the revocations made since.

Exit code 0: the target holds everything that was read; 1: it does not.

Example:
  signout copy --from redb:/var/lib/signout/revocations.redb --to redis://redis.internal:6379";
