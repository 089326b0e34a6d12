# A Leither node as a container image: the published file on a small Ubuntu, which has the libraries that .NET wants (libssl, libstdc++, zlib) and no .NET.
#
#   docker build -t leither .
#   docker run -d --name leither -p 4800:4800 -v leither:/data leither --requirepass SECRET
#
# A container has an address of its own, so protected mode keeps everybody out until a password, or users with rights, are set. The page in a browser and /metrics
# are for the node's own machine alone: with --network host that is yours.

FROM mcr.microsoft.com/dotnet/sdk:10.0 AS build
ARG TARGETARCH
WORKDIR /source
COPY . .
RUN case "${TARGETARCH:-$(dpkg --print-architecture)}" in arm64) rid=linux-arm64 ;; *) rid=linux-x64 ;; esac \
 && dotnet publish src/Node -p:PublishProfile=$rid -p:PublishDir=/out/ --nologo -v quiet

FROM mcr.microsoft.com/dotnet/runtime-deps:10.0
COPY --from=build /out/leither /usr/local/bin/leither
RUN groupadd --system --gid 4800 leither \
 && useradd --system --uid 4800 --gid leither --home-dir /data --shell /usr/sbin/nologin leither \
 && install -d -o leither -g leither -m 700 /data
USER leither
# Commands inside the container (docker exec leither leither status) find the node by it.
ENV LEITHER_DATA=/data
VOLUME /data
EXPOSE 4800
STOPSIGNAL SIGTERM
# Whether it answers at all: where it asks for a password, a refusal is an answer.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/${LEITHER_PORT:-4800} && printf 'PING\\r\\n' >&3 && read -r -t 4 -u 3 line && [[ $line == [+-]* ]]"]
ENTRYPOINT ["leither", "run"]
