//! From the tail to the head: every committed transaction.

use super::LogDefect;
use super::blocks::LogBlocks;
use super::ends::{self, Ends, LogUuids, position_behind, read_record};
use super::operation::{self, Assembler, Transaction};
use crate::error::Result;

/// Calls `visit` for every committed transaction between tail and head, in the order of their
/// commits. Transactions without commit are dropped.
///
/// # Errors
/// * `Corrupt` - a record between the two is damaged.
/// * `Refused` - a record was written by a host of the other byte order.
/// * `Limit`, `Io`, and the errors of `visit`.
pub(super) fn transactions(
    log: &dyn LogBlocks,
    ends: &Ends,
    uuids: &LogUuids,
    visit: &mut dyn FnMut(Transaction) -> Result<()>,
) -> Result<()> {
    let mut assembler = Assembler::default();
    let mut position = ends.tail;
    let mut left = log.block_count();
    while position != ends.head {
        let record = read_record(log, position.block(), uuids)?;
        let header = record.header;
        let block = position.block();
        if header.lsn != position {
            let wrong = LogDefect::RecordCycle { cycle: position.cycle(), lsn: header.lsn.cycle() };
            return Err(ends::defect(wrong, block));
        }
        ends::check_format(&header)?;
        let parsed = operation::parse(&record.data, header.operations);
        for operation in parsed.map_err(|wrong| ends::defect(wrong, block))? {
            if let Some(transaction) = assembler.take(operation, header.lsn)? {
                visit(transaction)?;
            }
        }
        left = left
            .checked_sub(header.blocks())
            .ok_or_else(|| ends::defect(LogDefect::Circle, block))?;
        position = position_behind(log, position, header.blocks());
    }
    Ok(())
}
