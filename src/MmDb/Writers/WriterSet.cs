using Leither.Ipfs;
using Leither.Ipfs.DagCbor;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;

namespace Leither.MmDb.Writers;

/// <summary>
/// Who may write a MiMei in which epoch: its author in those of term 0, whom the author's certificates name in others. Heads, the nodes of a log's segments and versions
/// are all held against it. It may be kept in a file of the MiMei's folder, and then lives as long as what was signed by these keys.
/// </summary>
/// <remarks>Any thread may use it.</remarks>
public sealed class WriterSet
{
    private const string FileName = "writers", NewFileName = "writers.new";

    private const int Format = 1;

    private readonly ReadOnlyMemory<byte> _authorKey;
    private readonly int _capacity;
    private readonly IFolder? _files;
    private readonly Lock _changing = new();
    private volatile Content _content = new([], []);
    private bool _isUnsaved;

    private sealed record Content(WriterCertificate[] Certificates, HashSet<uint> Contested);

    /// <summary>One that knows no certificate yet, and is in memory only.</summary>
    /// <param name="mid">The MiMei.</param>
    /// <param name="author">Its author.</param>
    /// <param name="capacity">So many are known at most, those of the newest terms.</param>
    public WriterSet(LeitherId mid, PublicKey author, int capacity = int.MaxValue)
    {
        Mid = mid;
        Author = author;
        _authorKey = author.Bytes.ToArray();
        _capacity = capacity;
    }

    private WriterSet(LeitherId mid, PublicKey author, IFolder files)
        : this(mid, author) => _files = files;

    /// <summary>The MiMei.</summary>
    public LeitherId Mid { get; }

    /// <summary>Is told that there are new ones to be kept, on the thread that brought them.</summary>
    public Action? Grew { get; set; }

    /// <summary>Its author.</summary>
    public PublicKey Author { get; }

    /// <summary>The certificate of the newest term; null: there is none, and the author writes.</summary>
    public WriterCertificate? Newest => _content.Certificates is [.., var newest] ? newest : null;

    /// <summary>All of them, oldest term first.</summary>
    public IReadOnlyList<WriterCertificate> Certificates => _content.Certificates;

    /// <summary>The newest term.</summary>
    public uint Term => Newest?.Term ?? 0;

    /// <summary>The blocks of all, oldest term first.</summary>
    public IReadOnlyList<ReadOnlyMemory<byte>> Blocks => [.. _content.Certificates.Select(static c => c.Block)];

    /// <summary>Whether certificates are kept in a folder.</summary>
    public static bool IsIn(IFolder files) => files.List().Any(static f => f.Name == FileName);

    /// <summary>Reads what is kept in a MiMei's folder, and keeps there what comes.</summary>
    /// <remarks>
    /// The file is an array of DAG-CBOR: the format and the certificates' blocks, oldest term first. It is written anew, beside the old one, and takes its place when it is durable.
    /// </remarks>
    /// <exception cref="DiskException">The file cannot be read.</exception>
    /// <exception cref="MimeiException">It is damaged.</exception>
    public static WriterSet Open(IFolder files, LeitherId mid, PublicKey author)
    {
        var set = new WriterSet(mid, author, files);
        if (!IsIn(files))
        {
            return set;
        }

        byte[] bytes;
        using (IFile file = files.Open(FileName))
        {
            bytes = new byte[file.Length];
            file.Read(0, bytes);
        }

        try
        {
            var reader = new DagCborReader(bytes);
            int count = reader.ReadArrayStart();
            if (reader.ReadInt64() is var format and not Format)
            {
                throw new MalformedBlockException($"it is of format {format}, which this version does not know");
            }

            while (--count > 0)
            {
                set.Add(reader.ReadBytes().ToArray(), out _);
            }

            reader.End();
            return set;
        }
        catch (MalformedBlockException e)
        {
            throw new MimeiException(
                $"ERR {files.FullName(FileName)}, which says who wrote the MiMei by its author's word, is damaged: {e.Message} Restore it from a copy, or delete it: other nodes and exports bring it again", e);
        }
    }

    /// <summary>Takes a certificate's block: true if it is new.</summary>
    /// <param name="block">The block.</param>
    /// <param name="other">Another one for the same term: the two are proof of two histories.</param>
    /// <exception cref="MalformedBlockException">It is none of this MiMei, or not the author's.</exception>
    public bool Add(ReadOnlyMemory<byte> block, out WriterCertificate? other)
    {
        lock (_changing)
        {
            other = null;
            foreach (WriterCertificate known in _content.Certificates)
            {
                if (known.Block.Span.SequenceEqual(block.Span))
                {
                    return false;
                }
            }

            WriterCertificate certificate = WriterCertificate.Decode(block.ToArray(), Mid, Author);
            other = Find(certificate.Term);
            if (other is not null)
            {
                _content = _content with { Contested = [.. _content.Contested, certificate.Term] };
                return false;
            }

            _content = _content with { Certificates = [.. _content.Certificates.Append(certificate).OrderBy(static c => c.Term).TakeLast(_capacity)] };
            return true;
        }
    }

    /// <summary>Takes certificates' blocks, and makes them durable where this is kept in a folder.</summary>
    /// <exception cref="MalformedBlockException">One is none of this MiMei, or not the author's.</exception>
    /// <exception cref="IOException">The disk failed: they are known, and written down with the next ones.</exception>
    public void Keep(IEnumerable<ReadOnlyMemory<byte>> blocks)
    {
        lock (_changing)
        {
            foreach (ReadOnlyMemory<byte> block in blocks)
            {
                _isUnsaved |= Add(block, out _);
            }

            if (!_isUnsaved)
            {
                return;
            }

            if (_files is not null)
            {
                Write(_files);
            }

            _isUnsaved = false;
        }

        Grew?.Invoke();
    }

    /// <summary>The key that writes in an epoch (Ed25519, 32 bytes); empty: nobody is known.</summary>
    public ReadOnlyMemory<byte> WriterOf(ulong epoch)
    {
        uint term = WriterCertificate.TermOf(epoch);
        return term == 0 ? _authorKey : Find(term)?.Writer ?? default;
    }

    /// <summary>The certificate of a term; null: it is not known.</summary>
    public WriterCertificate? Find(uint term)
    {
        // The newest are asked for most.
        WriterCertificate[] certificates = _content.Certificates;
        for (int i = certificates.Length - 1; i >= 0; i--)
        {
            if (certificates[i].Term == term)
            {
                return certificates[i];
            }
        }

        return null;
    }

    /// <summary>The newest certificate that lets a key write on a node; null: there was none, or it is not known.</summary>
    public WriterCertificate? NewestFor(PublicKey key, PeerId node) => Array.FindLast(_content.Certificates, c => c.Node == node && c.Writer.Span.SequenceEqual(key.Bytes));

    /// <summary>Whether there is more than one certificate for a term: then nobody may write in it.</summary>
    public bool IsContested(uint term) => _content.Contested.Contains(term);

    private void Write(IFolder files)
    {
        WriterCertificate[] certificates = _content.Certificates;
        var writer = new DagCborWriter();
        writer.WriteArrayStart(certificates.Length + 1);
        writer.WriteInt64(Format);
        foreach (WriterCertificate certificate in certificates)
        {
            writer.WriteBytes(certificate.Block.Span);
        }

        files.Delete(NewFileName);
        using (IFile file = files.Create(NewFileName))
        {
            file.WriteAll(0, writer.Written);
            file.Sync();
        }

        files.Rename(NewFileName, FileName);
        files.SyncDirectory();
    }
}
