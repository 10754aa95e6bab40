# Galo in a container. From the project's directory:
#
#   docker build -t galo .                        compile it, then the image
#   docker build -t galo --target prebuilt .      the image, from target/release/galo as it stands
#
# Either way the same image, and either way with the classic builder and with BuildKit.

# What compiles: cargo, a C compiler, make and git (glommio's build script wants those).
ARG BUILD_IMAGE=rust:1.95-bookworm
# What runs it: glibc no older than the build image's, a shell, and `install`.
ARG RUNTIME_IMAGE=debian:bookworm-slim

# ---- All of the image but the binary -----------------------------------------
FROM ${RUNTIME_IMAGE} AS runtime
# A number: nginx, in its own container, has to run as the same user to reach the sockets.
ARG UID=10001
RUN install -d -m 0700 -o ${UID} -g ${UID} /data /run/galo
ENV PATH=/opt/galo:$PATH GALO_DATA=/data GALO_LISTEN=0.0.0.0:9999
USER ${UID}:${UID}
WORKDIR /
STOPSIGNAL SIGTERM
# It asks at the first address of GALO_LISTEN.
HEALTHCHECK --interval=5s --timeout=3s --retries=3 CMD ["galo", "healthcheck"]
ENTRYPOINT ["galo"]
ARG VERSION=0.1.0
ARG SOURCE=
ARG GALO_GIT_HASH=unknown
LABEL org.opencontainers.image.title="galo" \
      org.opencontainers.image.description="A bank ledger and payments gateway in one small io_uring binary" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${GALO_GIT_HASH}"

# ---- With a binary that is there already -------------------------------------
FROM runtime AS prebuilt
# The classic builder comes by here on its way to the last stage, too, where there may be no binary: a
# pattern may match nothing, as long as the licence is there (which goes with every copy anyway).
COPY LICENSE target/release/gal[o] /opt/galo/

# ---- The binary ----------------------------------------------------------------
FROM ${BUILD_IMAGE} AS build
WORKDIR /galo
# The dependencies first, which change seldom: the manifest without what has sources of its own
# beside the server, and without tests (hence without --locked; the versions are the lock file's all the same).
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock ./
COPY output output
RUN sed -i -e 's/^members = .*/members = ["."]/' -e '/^\[\[test\]\]/,/^$/d' -e '/^build = /d' -e '/^galo-testkit = /d' Cargo.toml \
    && mkdir src \
    && touch src/lib.rs \
    && echo 'fn main() {}' > src/main.rs \
    && cargo build --release
COPY . .
ARG GALO_GIT_HASH=unknown
# COPY keeps times: what is older than the stand-ins above would pass for built.
RUN touch build.rs src/lib.rs src/main.rs && cargo build --release --locked

# ---- The image ---------------------------------------------------------------
FROM runtime AS galo
COPY --from=build /galo/LICENSE /galo/target/release/galo /opt/galo/
