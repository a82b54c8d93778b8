module troupe/bench

go 1.19
