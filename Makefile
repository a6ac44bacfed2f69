# `make check` runs every check; it installs what it needs and skips nothing.
# `make check-long` adds the long forms (200 kills, an hour of partition, old
# brokers beside new ones, real WordPress sites, a minute of fuzzing each).

GO         ?= go
# SQLite is C that was translated, on memory that the race detector does not
# see: watching it finds nothing and takes most of a test's time.
RACETEST   = CGO_ENABLED=1 $(GO) test -race -gcflags=modernc.org/sqlite/lib=-race=false
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME   ?= 5s
export CGO_ENABLED ?= 0

.PHONY: build check check-long tools format vet test fuzz bench

build:
	$(GO) build -trimpath -o bin/comity ./cmd/comity

check: tools format vet test fuzz

check-long: check
	./.ci/tools-long
	COMITY_LONG=1 $(RACETEST) -count=1 -timeout 40m ./testnet/... ./cmd/...
	COMITY_LONG=1 $(GO) test -count=1 -timeout 40m ./federation
	./.ci/mixed
	$(MAKE) fuzz FUZZTIME=60s

tools:
	./.ci/tools

format:
	@out=$$(gofmt -l .); [ -z "$$out" ] || { echo "not formatted (run gofmt -w):"; echo "$$out"; exit 1; }

vet:
	$(GO) vet ./...
	$(STATICCHECK) ./...

# The race detector makes simulated federations dear: under it they are smaller.
test:
	$(RACETEST) -timeout 8m ./...
	$(GO) test -run 'TestFault55Partition|TestSilentMembers|TestSpread' ./federation

# Every fuzz target of every package.
fuzz:
	./.ci/fuzz $(FUZZTIME)

bench:
	$(GO) test -run '^$$' -bench . -benchmem ./...
