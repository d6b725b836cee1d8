-- Who says so, since when, when it was last seen: JSON. NULL: declared before anybody else could say so.
ALTER TABLE edges ADD COLUMN detail TEXT;
