//! The fuzz target `draft_answers`; what it checks is said where it is defined.

#![cfg_attr(fuzzing, no_main)]

bytehaul_fuzz::target!(draft_answers);
