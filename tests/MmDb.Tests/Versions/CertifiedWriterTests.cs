// Versions of a MiMei that its author let another node write: that node signs them, whoever has the author's certificate can check them, and nobody else can make any.

using Leither.Ipfs;
using Leither.Ipfs.Car;
using Leither.Ipfs.Files;
using Leither.Ipfs.Keys;
using Leither.Ipfs.Multiformats;
using Leither.MmDb.Configuration;
using Leither.MmDb.Log;
using Leither.MmDb.Versions;
using Leither.MmDb.Writers;
using Leither.TestKit;
using Xunit;

namespace Leither.MmDb.Tests.Versions;

public sealed class CertifiedWriterTests : IDisposable
{
    private static readonly PrivateKey _writer = PrivateKey.FromSeed([.. Enumerable.Repeat((byte)1, 32)]), _next = PrivateKey.FromSeed([.. Enumerable.Repeat((byte)2, 32)]);

    private readonly TempDir _folder = new();
    private readonly VersionFixture _source = new(writer: _writer);
    private FolderMimeiStore _store = null!;
    private VersionFixture? _target;

    private string CarPath => Path.Combine(_folder.Path, "versions.car");

    private string Mid => _source.Info.Id.ToString();

    /// <summary>Another node, of another user, which never heard of any certificate.</summary>
    private VersionFixture Target => _target ??= new VersionFixture(store: clock => _store = new FolderMimeiStore(clock), mark: "here");

    public void Dispose()
    {
        _target?.Dispose();
        _source.Dispose();
        _folder.Dispose();
    }

    [Fact]
    public void Whom_the_author_let_write_makes_versions_with_all_that_depends_on_them()
    {
        MakeVersions();
        MimeiVersion version = _source.Versions.Read(2);
        Assert.Equal(_writer.PublicKey.Bytes, version.Writer.Span);
        Assert.Equal(1u, WriterCertificate.TermOf(version.Position.Epoch));
        Assert.Contains("\"n\"", _source.Run("MIMEI DIFF 1 2"), StringComparison.Ordinal);
        Assert.Contains("\"problems\", []", _source.Run("MIMEI CHECK"), StringComparison.Ordinal);
        Assert.Equal("+OK", _source.Run("MIMEI RELEASE 1"));
        Assert.Equal(1UL, _source.Versions.List.Released);
        Assert.False(_source.Run("MIMEI RESTORE 1").StartsWith('-'));
        Assert.Equal("\"1\"", _source.Run("GET n"));

        // By itself, too.
        _source.AutoBackup = [new SavePoint(1, 1)];
        _source.Db.Prepare("SET n 4");
        _source.Db.Clock.Advance(5000);
        ulong last = _source.Versions.List.Last.Number;
        Wait.Until(() =>
        {
            _source.Db.Server.Cron(_source.Db.Clock.NowMs);
            _source.Db.Server.EndTurn();
            return _source.Versions.List.Last.Number > last;
        });
    }

    [Fact]
    public void They_stay_readable_over_a_restart_and_after_a_later_takeover()
    {
        MakeVersions();
        _source.Reopen();
        _source.AssertVersion(1, "1");
        Assert.True(_source.Versions.MayWrite);
        _source.Versions.Writers.Keep([_source.Certificate(2, _next).Block]);
        Assert.False(_source.Versions.MayWrite);
        Assert.StartsWith("-READONLY", _source.Run("MIMEI BACKUP"), StringComparison.Ordinal);
        Assert.StartsWith($"-READONLY MiMei {Mid} is written by node {_next.PublicKey.PeerId}", _source.Run("SET n 3"), StringComparison.Ordinal);
        _source.AssertVersion(2, "2");
        _source.Reopen();
        _source.AssertVersion(1, "1");
        Assert.False(_source.Versions.MayWrite);
        Assert.Contains("\"problems\", []", _source.Run("MIMEI CHECK"), StringComparison.Ordinal);
    }

    [Fact]
    public void Nobody_signs_but_the_author_and_in_his_term_whom_he_let_write()
    {
        MakeVersions();
        MimeiVersion version = _source.Versions.Read(1);
        WriterSet writers = new(_source.Info.Id, _source.Author.PublicKey);
        writers.Add(_source.Certificate(1, _writer).Block, out _);
        writers.Add(_source.Certificate(2, _next).Block, out _);
        Position second = new(WriterCertificate.FirstEpochOf(2), 7), before = new(1, 7), third = new(WriterCertificate.FirstEpochOf(3), 7);
        byte[] next = _next.PublicKey.Bytes.ToArray();
        using PrivateKey stranger = PrivateKey.FromSeed(new byte[32]);

        Assert.Equal(version, Decode(version.Sign(_writer)) with { Writer = version.Writer });
        Decode((version with { Writer = next, Position = second }).Sign(_next));
        Decode(version.Sign(_source.Author));
        Decode((version with { Position = before }).Sign(_source.Author));
        Decode((version with { Position = third }).Sign(_source.Author));

        Refused(version.Sign(stranger)); // without a certificate
        Refused((version with { Writer = stranger.PublicKey.Bytes.ToArray() }).Sign(stranger));
        Refused(version.Sign(_next)); // by the writer of another term
        Refused((version with { Writer = next }).Sign(_next));
        Refused((version with { Position = second }).Sign(_writer));
        Refused((version with { Writer = next, Position = second }).Sign(_writer));
        Refused((version with { Writer = next }).Sign(_writer)); // which says that another wrote the log
        Refused((version with { Position = before }).Sign(_writer)); // of when the author wrote
        Refused((version with { Position = third }).Sign(_next)); // of a term that nobody was let write in
        Refused((version with { Mid = LeitherId.Of("another"u8) }).Sign(_writer));

        // Nobody else's word lets anybody write.
        WriterSet alone = new(_source.Info.Id, _source.Author.PublicKey);
        Assert.Throws<MalformedBlockException>(() => alone.Add(_source.Certificate(1, stranger, stranger).Block, out _));
        Assert.Throws<MalformedBlockException>(() => alone.Keep([_source.Certificate(1, _writer, _writer).Block]));
        Assert.Throws<MimeiException>(() => MimeiVersion.Decode(version.Sign(_writer), alone));

        MimeiVersion Decode(byte[] block) => MimeiVersion.Decode(block, writers);
        void Refused(byte[] block) => Assert.StartsWith("ERR version 1 ", Assert.Throws<MimeiException>(() => Decode(block)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void An_export_carries_the_certificates_so_that_any_node_can_check_it_and_export_it_again()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect();
        Assert.Matches("\"new\", :1, \"writable\", :0, \"newest\", :2, \"added\", :2, .*\"leftout\", :0", client.RunToEnd($"MIMEI IMPORT {CarPath}"));
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {Mid}"));
        Assert.Equal("\"2\"", client.Run("GET n"));
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);
        Assert.StartsWith($"-READONLY MiMei {Mid} is written by node {_writer.PublicKey.PeerId}", client.RunToEnd("SET n 3"), StringComparison.Ordinal);
        string again = CarPath + "2";
        Assert.StartsWith("[\"versions\", :2", client.RunToEnd($"MIMEI EXPORT {again}"), StringComparison.Ordinal);
        Assert.Equal(File.ReadAllBytes(CarPath), File.ReadAllBytes(again));

        // They are kept with it: it is opened anew without any file.
        using Mimei mimei = _store.Open(_source.Info.Id);
        Assert.Equal(_writer.PublicKey.Bytes, mimei.Versions!.Read(2).Writer.Span);
        Assert.Equal([1u], mimei.Versions.Writers.Blocks.Select(b => WriterCertificate.Decode(b, _source.Info.Id, _source.Author.PublicKey).Term));
    }

    [Fact]
    public void An_import_adds_to_the_versions_that_are_here_with_their_certificates()
    {
        _source.Db.Prepare("SET n 1");
        _source.Run("MIMEI BACKUP");
        _source.Run($"MIMEI EXPORT {CarPath}");
        InProcess.Client client = Target.Db.Connect();
        client.RunToEnd($"MIMEI IMPORT {CarPath}");
        client.RunToEnd($"MIMEI OPEN {Mid}");

        // The next writer's comes from a node that knows of both.
        (Cid Cid, byte[] Block)[] blocks = Blocks(CarPath);
        byte[] next = (_source.Versions.Read(1) with { Number = 2, Writer = _next.PublicKey.Bytes.ToArray(), Position = new Position(WriterCertificate.FirstEpochOf(2), 9) }).Sign(_next);
        WriteCar([Cid.Of(Multicodec.DagCbor, next)], [.. blocks.Select(static b => b.Block), next, _source.Certificate(2, _next).Block.ToArray()]);
        Assert.Contains("\"added\", :1", client.RunToEnd($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Contains("\"problems\", []", client.RunToEnd("MIMEI CHECK"), StringComparison.Ordinal);

        // Whoever was replaced made nothing after that.
        byte[] late = (_source.Versions.Read(1) with { Number = 3, Memo = "late" }).Sign(_writer);
        WriteCar([Cid.Of(Multicodec.DagCbor, late)], [.. blocks.Select(static b => b.Block), late]);
        Assert.Contains("version 3 is of term 1, and version 2 before it of term 2", client.RunToEnd($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_without_the_certificate_or_with_a_forged_one_is_refused_and_says_what_is_missing()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        (Cid Cid, byte[] Block)[] blocks = Blocks(CarPath);
        byte[] certificate = _source.Certificate(1, _writer).Block.ToArray();
        Cid[] roots = [_source.Versions.List.Find(1), _source.Versions.List.Find(2)];
        byte[][] others = [.. blocks.Select(static b => b.Block).Where(b => !b.AsSpan().SequenceEqual(certificate))];
        Assert.Equal(blocks.Length - 1, others.Length);
        WriteCar(roots, others);
        Assert.Contains("no certificate of his", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        WriteCar(roots, [.. others, _source.Certificate(1, _writer, _writer).Block.ToArray()]);
        Assert.Contains("no certificate of his", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        WriteCar(roots, [.. others, _source.Certificate(1, _next).Block.ToArray()]);
        Assert.Contains("nor by whom he let write in term 1", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Empty(_store.Folders);
        WriteCar(roots, [.. others, _source.Certificate(1, _writer, _writer).Block.ToArray(), certificate]);
        Assert.Contains("\"added\", :2", Target.Run($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
    }

    [Fact]
    public void The_authors_own_node_does_not_go_on_from_what_he_let_another_write()
    {
        MakeVersions();
        _source.Run($"MIMEI EXPORT {CarPath}");
        Target.Db.Run("PING");
        _store.Key = _source.Author;
        InProcess.Client client = Target.Db.Connect();
        Assert.Contains("\"writable\", :0", client.RunToEnd($"MIMEI IMPORT {CarPath}"), StringComparison.Ordinal);
        Assert.Equal("+OK", client.RunToEnd($"MIMEI OPEN {Mid}"));
        Assert.Equal("\"2\"", client.Run("GET n"));
        Assert.StartsWith($"-READONLY MiMei {Mid} is written by node {_writer.PublicKey.PeerId}", client.RunToEnd("SET n 3"), StringComparison.Ordinal);
    }

    [Fact]
    public void Certificates_are_kept_whole_and_a_damaged_file_of_them_says_what_to_do()
    {
        var files = new SimulatedDisk(1);
        WriterSet writers = WriterSet.Open(files, _source.Info.Id, _source.Author.PublicKey);
        Assert.False(WriterSet.IsIn(files));
        writers.Keep([_source.Certificate(2, _next).Block]);
        files.Fails = static operation => operation is "rename";
        Assert.ThrowsAny<IOException>(() => writers.Keep([_source.Certificate(1, _writer).Block]));
        Assert.Equal([1u, 2u], Terms(writers));
        files.Fails = static _ => false;
        files.LosePower();
        Assert.Equal([2u], Terms(WriterSet.Open(files, _source.Info.Id, _source.Author.PublicKey)));
        writers.Keep([]);
        files.LosePower();
        Assert.Equal([1u, 2u], Terms(WriterSet.Open(files, _source.Info.Id, _source.Author.PublicKey)));

        using (IFile file = files.Open("writers"))
        {
            file.WriteAll(40, [0xFF]);
        }

        Assert.Contains("is damaged", Assert.Throws<MimeiException>(() => WriterSet.Open(files, _source.Info.Id, _source.Author.PublicKey)).Message, StringComparison.Ordinal);

        uint[] Terms(WriterSet set) => [.. set.Blocks.Select(b => WriterCertificate.Decode(b, _source.Info.Id, _source.Author.PublicKey).Term)];
    }

    private void MakeVersions()
    {
        foreach (int n in (int[])[1, 2])
        {
            _source.Db.Prepare($"SET n {n}", $"SADD s {n} more");
            Assert.Equal($":{n}", _source.Run("MIMEI BACKUP"));
        }
    }

    private static (Cid Cid, byte[] Block)[] Blocks(string path)
    {
        using FileStream file = File.OpenRead(path);
        CarReader car = CarReader.Open(file);
        var blocks = new List<(Cid, byte[])>();
        while (car.Read())
        {
            blocks.Add((car.Cid, car.Block.ToArray()));
        }

        return [.. blocks];
    }

    private void WriteCar(IReadOnlyList<Cid> roots, IEnumerable<byte[]> blocks)
    {
        using FileStream file = File.Create(CarPath);
        CarWriter car = CarWriter.Create(file, roots);
        foreach (byte[] block in blocks)
        {
            car.Write(Cid.Of(Multicodec.DagCbor, block), block);
        }

        car.Complete();
    }
}
