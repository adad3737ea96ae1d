"""Permission as rows that a lawyer can read: default deny, forbid overrides permit, any error denies."""
