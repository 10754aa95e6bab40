//! Questions about single payments: for a summary, while they are under way.

use super::payments::{bound, find, in_doubt, pay, processed, state, PAY};
use super::rig::processors::{response, stored, Call, Kind};
use super::*;
use crate::limits::{ATTEMPT_NS_MAX, PROCESSOR_LOOKUPS_MAX, SUMMARY_NS_MAX};
use crate::payments::{PaymentId, Processor};
use crate::shard::payments::State;
