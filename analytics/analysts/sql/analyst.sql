-- One analyst. `python -m analytics.analysts add NAME` puts in the name and the SHA-256 of a password that it makes.

CREATE USER OR REPLACE analyst_name IDENTIFIED WITH sha256_hash BY 'password_sha256' DEFAULT DATABASE predmarket_analysts;

GRANT predmarket_analyst TO analyst_name;

SET DEFAULT ROLE predmarket_analyst TO analyst_name;
