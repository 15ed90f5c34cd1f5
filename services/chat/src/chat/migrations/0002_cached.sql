-- Which turns were answered with the answer of an earlier one.

ALTER TABLE turns ADD COLUMN cached boolean NOT NULL DEFAULT false;
