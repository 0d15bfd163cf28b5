"""The embedded writer and judge: reports, known degradations and judgements by code, without any network."""
