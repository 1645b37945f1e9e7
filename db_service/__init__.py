"""Schema, migrations, the library that writers use, and reads for everybody else."""
