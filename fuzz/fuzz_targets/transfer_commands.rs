//! The fuzz target `transfer_commands`; what it checks is said where it is defined.

#![cfg_attr(fuzzing, no_main)]

bytehaul_fuzz::target!(transfer_commands);
