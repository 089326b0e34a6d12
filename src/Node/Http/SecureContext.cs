using System.IO.Pipelines;
using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Leither.Node.Transport.Tls;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core.Features;

namespace Leither.Node.Http;

/// <summary>A TLS connection that made its handshake in the loop, as Kestrel takes connections: it tells by <see cref="ITlsConnectionFeature"/> that the scheme is https.</summary>
internal sealed class SecureContext : DefaultConnectionContext, ITlsConnectionFeature, ITlsHandshakeFeature, ITlsApplicationProtocolFeature
{
    private readonly SecureConnection _connection;
    private readonly CancellationTokenSource _closed = new();
    private int _isDisposed;

    public SecureContext(SecureConnection connection) : base(CorrelationId())
    {
        _connection = connection;
        RemoteEndPoint = connection.Remote;
        LocalEndPoint = connection.Local;
        Transport = new Pipes(
            PipeReader.Create(connection.Stream, new StreamPipeReaderOptions(leaveOpen: true, useZeroByteReads: true)),
            PipeWriter.Create(connection.Stream, new StreamPipeWriterOptions(leaveOpen: true)));
        ConnectionClosed = _closed.Token;
        Features.Set<ITlsConnectionFeature>(this);
        Features.Set<ITlsHandshakeFeature>(this); // HTTP/2 has demands on both
        Features.Set<ITlsApplicationProtocolFeature>(this);
    }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> ApplicationProtocol => _connection.Stream.NegotiatedApplicationProtocol.Protocol;

    /// <inheritdoc/>
    public SslProtocols Protocol => _connection.Stream.SslProtocol;

    /// <inheritdoc/>
    public TlsCipherSuite? NegotiatedCipherSuite => _connection.Stream.NegotiatedCipherSuite;

#pragma warning disable SYSLIB0058 // The interface still has what the cipher suite tells.
    /// <inheritdoc/>
    public CipherAlgorithmType CipherAlgorithm => _connection.Stream.CipherAlgorithm;

    /// <inheritdoc/>
    public int CipherStrength => _connection.Stream.CipherStrength;

    /// <inheritdoc/>
    public HashAlgorithmType HashAlgorithm => _connection.Stream.HashAlgorithm;

    /// <inheritdoc/>
    public int HashStrength => _connection.Stream.HashStrength;

    /// <inheritdoc/>
    public ExchangeAlgorithmType KeyExchangeAlgorithm => _connection.Stream.KeyExchangeAlgorithm;

    /// <inheritdoc/>
    public int KeyExchangeStrength => _connection.Stream.KeyExchangeStrength;
#pragma warning restore SYSLIB0058

    /// <inheritdoc/>
    public X509Certificate2? ClientCertificate { get; set; }

    /// <inheritdoc/>
    public Task<X509Certificate2?> GetClientCertificateAsync(CancellationToken cancellationToken) => Task.FromResult(ClientCertificate);

    /// <inheritdoc/>
    public override void Abort(ConnectionAbortedException abortReason) => Close();

    /// <inheritdoc/>
    public override async ValueTask DisposeAsync()
    {
        if (Volatile.Read(ref _isDisposed) == 0)
        {
            try
            {
                // What was written is all of it; who does not take that in a moment need not know.
                using CancellationTokenSource limit = new(TimeSpan.FromSeconds(1));
                await _connection.Stream.ShutdownAsync().WaitAsync(limit.Token);
            }
            catch (Exception e) when (e is IOException or InvalidOperationException or OperationCanceledException)
            {
                // The client is gone already.
            }
        }

        Close();
        await base.DisposeAsync();
    }

    private void Close()
    {
        if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
        {
            _connection.Stream.Dispose();
            ThreadPool.UnsafeQueueUserWorkItem(static closed => closed.Cancel(), _closed, preferLocal: false);
        }
    }

    private static string CorrelationId() => Guid.NewGuid().ToString("n");

    private sealed record Pipes(PipeReader Input, PipeWriter Output) : IDuplexPipe;
}
